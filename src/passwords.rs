//! Where a new password comes from.

use anyhow::{Context, Result};
use rand::TryRngCore;
use secrecy::{ExposeSecret, SecretString};

use crate::error::{Failure, Kind, Problem};
use crate::settings::password_problems;
use crate::ui::Ui;

/// Characters of a generated password: 24 of 64, 144 bits.
const LENGTH: usize = 24;

/// All of them stand for themselves in a shell, a URL, `.env` and every file of the cluster.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A password that nobody can guess. Its first character is a letter, so that no program takes it for an option.
///
/// # Errors
/// The system gives no random numbers.
pub fn generate() -> Result<SecretString> {
    let mut bytes = [0; LENGTH];
    rand::rngs::OsRng
        .try_fill_bytes(&mut bytes)
        .context("no random numbers")?;
    // Each of 64 characters has the same share of the 256 values of a byte.
    let mut text: String = bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 64)]))
        .collect();
    if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        text.replace_range(..1, "p");
    }
    Ok(text.into())
}

/// The user's own, from standard input or the terminal; never from a command line.
///
/// # Errors
/// [`Kind::Input`]: nothing can be read, or not every part of the cluster can use it.
pub async fn ask(question: String, ui: Ui) -> Result<SecretString> {
    // In a thread of its own, so that Ctrl-C ends the waiting for an answer.
    let answer = tokio::task::spawn_blocking(move || ui.secret(&question)).await?;
    let text: SecretString = answer
        .map_err(|error| Failure::new(Kind::Input, Problem::new(format!("no password: {error}"))))?
        .into();
    let problems = password_problems(text.expose_secret())
        .into_iter()
        .map(|(wrong, fix)| Problem::new(format!("the password {wrong}")).fix(fix))
        .collect();
    Failure::unless_empty(Kind::Input, problems)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_passwords_are_long_differ_and_need_no_quotes() {
        let passwords: Vec<SecretString> = (0..200).map(|_| generate().unwrap()).collect();
        for (i, password) in passwords.iter().enumerate() {
            let text = password.expose_secret();
            assert_eq!(text.len(), LENGTH);
            assert!(text.bytes().all(|byte| ALPHABET.contains(&byte)));
            assert!(text.starts_with(|c: char| c.is_ascii_alphabetic()));
            assert!(password_problems(text).is_empty());
            assert!(passwords[..i].iter().all(|other| other.expose_secret() != text));
        }
    }
}
