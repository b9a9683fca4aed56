use anyhow::Result;
use secrecy::SecretString;

use crate::cli::Global;
use crate::error::{Failure, Kind, Problem};
use crate::logins;
use crate::observe;
use crate::observed::{self, Containers};
use crate::passwords;
use crate::project::{self, Project, Wish};
use crate::rotation;
use crate::settings::Account;
use crate::topology::MASTER_SERVICE;
use crate::ui::Ui;
use crate::workdir;

/// Change a password of .env everywhere, while the cluster runs
///
/// Changes the role in PostgreSQL, .env, and what the pool and the nodes hold; proves at every endpoint that the new
/// password opens and the old one does not. Sessions and replication go on, and no container is made anew. The new
/// password is generated and stands in .env. Whatever interrupts it: the same command again repairs.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Whose: the superuser's, that of replication, that of the pool's checks, or all three
    #[arg(value_enum, default_value = "all")]
    which: Which,
    /// Take the password from standard input, or ask for it on a terminal
    #[arg(long, conflicts_with = "from_env")]
    password_stdin: bool,
    /// Bring a password that was edited in .env into the cluster
    #[arg(long)]
    from_env: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    Postgres,
    Replication,
    Pool,
    All,
}

impl Which {
    fn accounts(self) -> Vec<Account> {
        match self {
            Which::Postgres => vec![Account::Postgres],
            Which::Replication => vec![Account::Replication],
            Which::Pool => vec![Account::Pool],
            Which::All => Account::ALL.to_vec(),
        }
    }
}

pub async fn run(args: &Args, global: &Global, ui: Ui) -> Result<()> {
    if args.password_stdin && args.which == Which::All {
        let problem = Problem::new("one password for all three roles would let each do what the others may")
            .fix("name one: `pgcluster rotate postgres --password-stdin`");
        return Err(Failure::new(Kind::Input, problem).into());
    }
    let folder = workdir::locate(&global.folder)?;
    workdir::refuse_without_cluster(&folder)?;
    let env_file = global.env_file.as_deref();
    let accounts = args.which.accounts();
    refuse_environment(&accounts)?;
    let given = match args.password_stdin {
        true => Some(passwords::ask(format!("New {}", accounts[0].key()), ui).await?),
        false => None,
    };
    let (mut project, _lock) = Project::load_locked(&folder, env_file, &Wish::default(), "rotate")?;
    let there = running(&project).await?;
    for account in accounts {
        let key = account.key();
        if args.from_env && rotation::is_current(&project, account).await? {
            ui.result(&format!(
                "{key}: nothing to do, .env has the password of the cluster"
            ));
            continue;
        }
        let new = new_password(args, given.as_ref(), &project, account)?;
        let proof = rotation::rotate(&project, &there, account, &new, ui).await?;
        ui.result(&format!("{key}: changed; {proof}"));
        // What was changed is what the next one starts from.
        project = Project::load(&folder, env_file, &Wish::default())?;
    }
    Ok(())
}

fn new_password(
    args: &Args,
    given: Option<&SecretString>,
    project: &Project,
    account: Account,
) -> Result<SecretString> {
    match given {
        Some(password) => Ok(password.clone()),
        None if args.from_env => Ok(account.login(&project.settings).password.clone()),
        None => passwords::generate(),
    }
}

/// What wins over `.env` would be wrong afterwards, and cannot be changed from here.
fn refuse_environment(accounts: &[Account]) -> Result<(), Failure> {
    let problems = accounts
        .iter()
        .filter(|account| project::is_in_environment(account.key()))
        .map(|account| {
            Problem::new(format!(
                "{}: the environment sets it, which wins over .env, where the new password would stand",
                account.key()
            ))
            .fix("unset the variable, then try again")
        })
        .collect();
    Failure::unless_empty(Kind::Input, problems)
}

/// The containers, of which the master's runs.
///
/// # Errors
/// [`Kind::NotReady`]: it does not.
pub async fn running(project: &Project) -> Result<Containers> {
    let topology = &project.topology;
    let there = observe::containers(&topology.folder, &topology.project).await?;
    let runs = observed::answers(&there, MASTER_SERVICE, topology.master().port);
    match runs {
        true => Ok(there),
        false => Err(Failure::new(
            Kind::NotReady,
            Problem::new("the master does not run, and only it can change a role").fix(
                match project.edited().is_empty() {
                    true => "`pgcluster up` starts it",
                    false => logins::START_AS_IT_WAS,
                },
            ),
        )
        .into()),
    }
}
