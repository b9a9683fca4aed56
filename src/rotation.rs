//! A password changed everywhere it lives, so that whatever interrupts it, doing it again repairs.
//!
//! 1. `.env`: the new password is on the disk before anything uses it.
//! 2. The role in PostgreSQL.
//! 3. What the running pool and nodes hold in memory.
//! 4. The file that containers read when they start.
//!
//! Until the last step `.env` and that file differ, by which `up` knows that something is left to do; both old and
//! new password are on the disk, and logging in tells which one is true. No file's fingerprint changes in the end, so
//! no container is made anew.

use std::time::{Duration, Instant};

use anyhow::Result;
use secrecy::{ExposeSecret, SecretString};

use crate::error::{Failure, Kind, Problem};
use crate::handover;
use crate::logins::{self, is_refusal};
use crate::observe;
use crate::observed::{self, Containers, Silence};
use crate::postgres::{DATABASE, Session};
use crate::project::Project;
use crate::render::Rendered;
use crate::settings::{Account, Login};
use crate::topology::SECRETS_FOLDER;
use crate::ui::Ui;
use crate::workdir;

/// How long a replica may take to replay the change, and the pool to take it up.
const LIMIT: Duration = Duration::from_secs(20);
const RETRY: Duration = Duration::from_millis(100);

/// The superuser's login that the master accepts: the password of `.env`, or the one the containers have.
///
/// # Errors
/// [`Kind::NotReady`]: the master does not answer, or refuses both.
pub async fn admin(project: &Project) -> Result<Login, Failure> {
    let candidates = known(project, Account::Postgres);
    match true_one(project, &candidates).await {
        Ok(Some(login)) => Ok(login),
        Ok(None) => {
            let user = &project.settings.admin.user;
            let problem = Problem::new(
                "POSTGRES_PASSWORD: the cluster has neither the one of .env nor the one it was given last",
            )
            .fix(format!(
                "set it by `docker compose exec postgres-master psql -U '{user}' postgres` and `\\password`, and in .env"
            ));
            Err(Failure::new(Kind::NotReady, problem))
        }
        Err(silence) => Err(no_answer(&silence)),
    }
}

fn no_answer(silence: &Silence) -> Failure {
    Failure::new(
        Kind::NotReady,
        Problem::new(format!("master: {}", silence.reason)).fix("see `pgcluster status`"),
    )
}

/// The logins that an account may have, the likeliest first.
fn known(project: &Project, account: Account) -> Vec<Login> {
    let wanted = account.login(&project.settings);
    let handed = project.handed(account).map(|password| Login {
        user: wanted.user.clone(),
        password: password.clone(),
    });
    let differs = |login: &Login| login.password.expose_secret() != wanted.password.expose_secret();
    [wanted.clone()]
        .into_iter()
        .chain(handed.filter(differs))
        .collect()
}

async fn true_one(project: &Project, candidates: &[Login]) -> Result<Option<Login>, Silence> {
    for login in candidates {
        match logins::answer(project, project.topology.master().port, login, DATABASE).await {
            Ok(()) => return Ok(Some(login.clone())),
            Err(silence) if is_refusal(&silence) => {}
            Err(silence) => return Err(silence),
        }
    }
    Ok(None)
}

/// The login of an account as the cluster has it; where that cannot be told, as `.env` has it.
pub async fn true_login(project: &Project, account: Account) -> Login {
    let candidates = known(project, account);
    let found = true_one(project, &candidates).await;
    found.ok().flatten().unwrap_or_else(|| candidates[0].clone())
}

/// Whether the account's password in `.env` is everywhere already, as far as the master and the files tell.
pub async fn is_current(project: &Project, account: Account) -> Result<bool, Failure> {
    let candidates = known(project, account);
    let current = true_one(project, &candidates[..1])
        .await
        .map_err(|silence| no_answer(&silence))?;
    Ok(candidates.len() == 1 && current.is_some())
}

/// Gives `account` the password `new`, and proves it; says where it was proved.
///
/// # Errors
/// A step that failed, or a login that is not as it should be. Doing it again repairs.
pub async fn rotate(
    project: &Project,
    there: &Containers,
    account: Account,
    new: &SecretString,
    ui: Ui,
) -> Result<String> {
    let admin = admin(project).await?;
    let mut old = known(project, account);
    old.retain(|login| login.password.expose_secret() != new.expose_secret());
    let login = Login {
        user: account.login(&project.settings).user.clone(),
        password: new.clone(),
    };
    let wanted = account.login(&project.settings).password.expose_secret();
    if wanted != new.expose_secret() {
        ui.detail(&format!(
            "write {} into {}",
            account.key(),
            project.env_path.display()
        ));
        project.set_in_env(account.key(), new.expose_secret())?;
    }
    ui.detail("change the role in PostgreSQL");
    let mut endpoint = observe::endpoint(project, project.topology.master().port);
    endpoint.login = admin;
    let changed = Session::new(endpoint).set_password(&login).await;
    changed.map_err(|problem| Failure::new(Kind::NotReady, problem))?;

    ui.detail("tell the containers");
    match account {
        Account::Replication => handover::nodes(project, there, &login).await?,
        Account::Postgres => {
            let check = true_login(project, Account::Pool).await;
            tell_pool(project, there, &login, &check).await?;
        }
        Account::Pool => {
            let admin = true_login(project, Account::Postgres).await;
            tell_pool(project, there, &admin, &login).await?;
        }
    }
    let path = format!("{SECRETS_FOLDER}/{}", account.secret());
    ui.detail(&format!("write {path}"));
    let file = Rendered {
        path,
        content: new.expose_secret().as_bytes().into(),
        private: true,
    };
    workdir::write(&project.topology.folder, &file)?;
    ui.detail("log in with the new password and the old, everywhere");
    let proof = proved(project, there, &login, &old).await?;
    if account == Account::Replication {
        handover::replication_works(project, there, &login.user).await?;
    }
    Ok(proof)
}

async fn tell_pool(project: &Project, there: &Containers, admin: &Login, check: &Login) -> Result<()> {
    handover::pool(project, there, &[admin, check], &project.roster)
        .await
        .map(drop)
}

/// The endpoints that run, by name and port.
fn endpoints(project: &Project, there: &Containers) -> Vec<(String, u16)> {
    let topology = &project.topology;
    let nodes = topology
        .nodes
        .iter()
        .map(|node| (node.title(), node.service(), node.port));
    let pool = (
        "pool".to_owned(),
        topology.entry_service().to_owned(),
        topology.pool_port,
    );
    nodes
        .chain([pool])
        .filter(|(_, service, port)| observed::answers(there, service, *port))
        .map(|(title, _, port)| (title, port))
        .collect()
}

/// Every endpoint lets `login` in and none of `old`, soon.
async fn proved(
    project: &Project,
    there: &Containers,
    login: &Login,
    old: &[Login],
) -> Result<String, Failure> {
    let deadline = Instant::now() + LIMIT;
    let mut places = Vec::new();
    for (title, port) in endpoints(project, there) {
        // The pool is asked for the replication role only where it lets any role in.
        let is_known = title != "pool" || pool_knows(project, &login.user);
        if !is_known {
            continue;
        }
        loop {
            match doors(project, port, login, old).await {
                Ok(()) => break,
                Err(_) if Instant::now() + RETRY < deadline => tokio::time::sleep(RETRY).await,
                Err(what) => {
                    let problem = Problem::new(format!("{title}: {what}"))
                        .fix("see `pgcluster status`, then do it again");
                    return Err(Failure::new(Kind::NotReady, problem));
                }
            }
        }
        places.push(title);
    }
    let refused = match old.is_empty() {
        true => "",
        false => ", and the old one is refused",
    };
    Ok(format!("{} let it in{refused}", places.join(", ")))
}

pub fn pool_knows(project: &Project, user: &str) -> bool {
    let settings = &project.settings;
    !settings.pool_needs_passwords()
        || [&settings.admin.user, &settings.pool.user].contains(&&user.to_owned())
        || project.roster.get(user).is_some()
}

async fn doors(project: &Project, port: u16, login: &Login, old: &[Login]) -> Result<(), String> {
    logins::answer(project, port, login, DATABASE)
        .await
        .map_err(|silence| format!("the new password does not open: {}", silence.reason))?;
    for old in old {
        match logins::answer(project, port, old, DATABASE).await {
            Ok(()) => return Err("the old password still opens".to_owned()),
            Err(silence) if is_refusal(&silence) => {}
            Err(silence) => return Err(silence.reason),
        }
    }
    Ok(())
}
