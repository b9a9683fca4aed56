use anyhow::Result;
use secrecy::{ExposeSecret, SecretString};

use crate::cli::Global;
use crate::commands::rotate::running;
use crate::error::{Failure, Kind, Problem};
use crate::passwords;
use crate::postgres::{Attributes, DATABASE, Role};
use crate::project::{Project, Wish};
use crate::settings::{Login, has_control_character};
use crate::ui::Ui;
use crate::users::{Users, command, through_pool};
use crate::workdir;

/// Make, change, list and drop the roles that log in
///
/// A role made here logs in through the pool in every connection mode. A password is generated and printed once,
/// unless you give one of your own.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a role; or make one that is there known to the pool, with --password-stdin and the password it has
    Add(Add),
    /// Give a role another password
    Passwd(Passwd),
    /// Show every role, whether it logs in through the pool, and why not
    List,
    /// Drop a role that owns nothing
    Drop { name: String },
}

#[derive(Debug, clap::Args)]
struct Add {
    name: String,
    /// It may do everything
    #[arg(long, conflicts_with = "readonly")]
    superuser: bool,
    /// It may make databases
    #[arg(long)]
    createdb: bool,
    /// It reads every table, and writes none
    #[arg(long)]
    readonly: bool,
    /// Make this database too, owned by the role
    #[arg(long, value_name = "DB")]
    database: Option<String>,
    /// Take the password from standard input, or ask for it on a terminal
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Debug, clap::Args)]
struct Passwd {
    name: String,
    /// Take the password from standard input, or ask for it on a terminal
    #[arg(long)]
    password_stdin: bool,
}

pub async fn run(args: &Args, global: &Global, ui: Ui) -> Result<()> {
    let folder = workdir::locate(&global.folder)?;
    workdir::refuse_without_cluster(&folder)?;
    let env_file = global.env_file.as_deref();
    if let Command::List = args.command {
        let project = Project::load(&folder, env_file, &Wish::default())?;
        let there = running(&project).await?;
        return list(&mut Users::open(project, there).await?, ui).await;
    }
    if let Command::Add(Add { name, .. }) | Command::Passwd(Passwd { name, .. }) = &args.command {
        refuse_name(name)?;
    }
    let given = match &args.command {
        Command::Add(Add {
            name,
            password_stdin: true,
            ..
        })
        | Command::Passwd(Passwd {
            name,
            password_stdin: true,
        }) => Some(passwords::ask(format!("Password of {name}"), ui).await?),
        _ => None,
    };
    let (project, _lock) = Project::load_locked(&folder, env_file, &Wish::default(), "user")?;
    let there = running(&project).await?;
    let mut users = Users::open(project, there).await?;
    match &args.command {
        Command::Add(add) => self::add(&mut users, add, given, ui).await,
        Command::Passwd(passwd) => self::passwd(&mut users, &passwd.name, given, ui).await,
        Command::Drop { name } => drop_role(&mut users, name, ui).await,
        Command::List => Ok(()),
    }
}

async fn add(users: &mut Users, add: &Add, given: Option<SecretString>, ui: Ui) -> Result<()> {
    if let Some(database) = &add.database {
        users.refuse_database(database, &add.name).await?;
    }
    let generated = given.is_none();
    let login = login(&add.name, given)?;
    match users.role(&add.name).await? {
        None => {
            let attributes = Attributes {
                superuser: add.superuser,
                createdb: add.createdb,
                readonly: add.readonly,
            };
            users.create(&login, attributes).await?;
            ui.note(&format!("{}: made", login.user));
        }
        Some(_) => {
            users.refuse_own(&login.user)?;
            if generated || !users.opens(&login).await? {
                return Err(exists(&login.user, generated).into());
            }
            ui.note(&format!(
                "{}: was there with this password; what it may do stays as it was",
                login.user
            ));
        }
    }
    if let Some(database) = &add.database {
        users.create_database(database, &login.user).await?;
        ui.note(&format!("database {database}: owned by {}", login.user));
    }
    hand_over(users, &login, generated, add.database.as_deref(), ui).await
}

fn exists(name: &str, generated: bool) -> Failure {
    let what = match generated {
        true => format!("there is a role {name} already"),
        false => format!("there is a role {name} already, with another password"),
    };
    Failure::new(
        Kind::Input,
        Problem::new(what).fix(format!(
            "`{}` gives it a new password, which the pool knows too; `{} --password-stdin` with the password it has \
             tells the pool that one",
            command("passwd", name),
            command("add", name)
        )),
    )
}

async fn passwd(users: &mut Users, name: &str, given: Option<SecretString>, ui: Ui) -> Result<()> {
    users.refuse_own(name)?;
    let role = users.role(name).await?.ok_or_else(|| missing(name))?;
    let generated = given.is_none();
    let login = login(name, given)?;
    users.set_password(&login).await?;
    ui.note(&format!("{name}: password changed"));
    if !role.login {
        ui.note(&format!(
            "{name} may not log in all the same: ALTER ROLE … LOGIN lets it"
        ));
    }
    hand_over(users, &login, generated, None, ui).await?;
    // Its own connections in the pool would let the old password in; a role that the pool knows is asked each time.
    if !users.pool_needs_passwords() {
        let ended = users.end_sessions(&role, true).await?;
        if ended > 0 {
            ui.note(&format!(
                "{name}: {ended} connections of the pool ended, which had the old password"
            ));
        }
    }
    Ok(())
}

/// Prints a generated password as soon as it is the role's, since it is told only once.
async fn hand_over(
    users: &mut Users,
    login: &Login,
    generated: bool,
    database: Option<&str>,
    ui: Ui,
) -> Result<()> {
    users.remember(login)?;
    if generated {
        ui.note("its password, shown this once:");
        ui.result(login.password.expose_secret());
    }
    if !users.tell_pool().await? {
        ui.note("the pool does not run; it reads the password when it starts");
        return Ok(());
    }
    ui.note(
        &match users.logs_in_soon(login, database.unwrap_or(DATABASE)).await {
            Ok(()) => format!("{} logs in through the pool", login.user),
            Err(reason) => format!("{} does not log in through the pool: {reason}", login.user),
        },
    );
    Ok(())
}

async fn list(users: &mut Users, ui: Ui) -> Result<()> {
    let roles = users.roles().await?;
    let mut rows = Vec::new();
    for role in &roles {
        let mut verdict = through_pool(role, users.project());
        // Whether what the pool knows is still the password, only a login tells.
        if let (Ok(()), Some(password)) = (&verdict, users.password(&role.name)) {
            let login = login(&role.name, Some(password))?;
            // Asked first: a connection at hand in the pool would let an old password in.
            let answer = match users.opens(&login).await? {
                true => users.login_through_pool(&login, DATABASE).await,
                false => Err("the pool has another password than PostgreSQL".to_owned()),
            };
            verdict = answer.map_err(|reason| format!("{reason}: {}", command("passwd", &role.name)));
        }
        rows.push(vec![
            role.name.clone(),
            may(role),
            match verdict {
                Ok(()) => "yes".to_owned(),
                Err(reason) => format!("no, {reason}"),
            },
        ]);
    }
    for name in users.gone(&roles) {
        let reason = format!("no, the role is gone: {}", command("drop", &name));
        rows.push(vec![name, "–".to_owned(), reason]);
    }
    ui.table(&["ROLE", "MAY", "LOGS IN THROUGH THE POOL"], rows);
    Ok(())
}

/// What a role may do beyond what is granted to it, in a few words.
fn may(role: &Role) -> String {
    let words = [
        (role.superuser, "everything"),
        (role.createdb && !role.superuser, "make databases"),
        (role.createrole && !role.superuser, "make roles"),
        (role.replication && !role.superuser, "replicate"),
    ];
    let groups = role.member_of.iter().map(|group| format!("as {group}"));
    let words: Vec<String> = words
        .into_iter()
        .filter(|(may, _)| *may)
        .map(|(_, word)| word.to_owned())
        .chain(groups)
        .collect();
    match words.is_empty() {
        true => "–".to_owned(),
        false => words.join(", "),
    }
}

async fn drop_role(users: &mut Users, name: &str, ui: Ui) -> Result<()> {
    users.refuse_own(name)?;
    let role = users.role(name).await?;
    if role.is_none() && users.password(name).is_none() {
        return Err(missing(name).into());
    }
    let mut ended = 0;
    if let Some(role) = &role {
        users.drop_role(role).await?;
        ended = users.end_sessions(role, false).await?;
    }
    users.forget(name)?;
    users.tell_pool().await?;
    ui.note(&match (role, ended) {
        (None, _) => format!("{name}: was gone; the pool has forgotten it too"),
        (_, 0) => format!("{name}: dropped"),
        (_, count) => format!("{name}: dropped, and {count} connections of it ended"),
    });
    Ok(())
}

fn login(name: &str, given: Option<SecretString>) -> Result<Login> {
    Ok(Login {
        user: name.to_owned(),
        password: match given {
            Some(password) => password,
            None => passwords::generate()?,
        },
    })
}

fn missing(name: &str) -> Failure {
    Failure::new(
        Kind::Input,
        Problem::new(format!("there is no role {name}"))
            .fix("`pgcluster user list` shows those that are; `pgcluster user add` makes one"),
    )
}

/// What PostgreSQL, or one of the files with passwords, cannot hold.
fn refuse_name(name: &str) -> Result<(), Failure> {
    let shown = name.escape_debug();
    let problem =
        match name {
            "" => Problem::new("the role has no name").fix("give it one"),
            _ if name.len() > 63 => Problem::new(format!("{shown}: longer than PostgreSQL's 63 bytes"))
                .fix("choose a shorter name"),
            _ if has_control_character(name) => Problem::new(format!(
                "{shown}: has a control character, which ends a line of the pool's files"
            ))
            .fix("leave it out"),
            "public" | "none" => Problem::new(format!("{shown}: a word of SQL that no role can have"))
                .fix("choose another name"),
            _ if name.starts_with("pg_") => {
                Problem::new(format!("{shown}: begins with `pg_`, which PostgreSQL reserves"))
                    .fix("choose another name")
            }
            _ => return Ok(()),
        };
    Err(Failure::new(Kind::Input, problem))
}
