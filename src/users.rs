//! The roles of a running cluster: in PostgreSQL, in the file from which the pool knows them, and in the pool.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use secrecy::SecretString;

use crate::error::{Failure, Kind, Problem};
use crate::handover;
use crate::logins;
use crate::observe;
use crate::observed::{self, Containers, Silence};
use crate::postgres::{Attributes, DATABASE, Endpoint, Role, Session};
use crate::process::Argv;
use crate::project::Project;
use crate::rotation;
use crate::settings::{Account, Login};
use crate::workdir;

/// Replaying takes milliseconds, on a busy machine more.
const REPLAY_LIMIT: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(100);

pub struct Users {
    project: Project,
    there: Containers,
    admin: Login,
    master: Session,
}

impl Users {
    /// Logs in to the master as the superuser.
    ///
    /// # Errors
    /// It does not let the superuser in.
    pub async fn open(project: Project, there: Containers) -> Result<Self> {
        let admin = rotation::admin(&project).await?;
        let port = project.topology.master().port;
        let master = Session::new(Endpoint {
            login: admin.clone(),
            ..observe::endpoint(&project, port)
        });
        Ok(Users {
            project,
            there,
            admin,
            master,
        })
    }

    pub fn project(&self) -> &Project {
        &self.project
    }

    pub fn pool_needs_passwords(&self) -> bool {
        self.project.settings.pool_needs_passwords()
    }

    pub async fn roles(&mut self) -> Result<Vec<Role>, Failure> {
        self.master.roles().await.map_err(objection)
    }

    pub async fn role(&mut self, name: &str) -> Result<Option<Role>, Failure> {
        let roles = self.roles().await?;
        Ok(roles.into_iter().find(|role| role.name == name))
    }

    /// The password with which the pool knows a role.
    pub fn password(&self, name: &str) -> Option<SecretString> {
        self.project.roster.get(name).cloned()
    }

    /// The roles that the pool knows and PostgreSQL does not.
    pub fn gone(&self, roles: &[Role]) -> Vec<String> {
        let is_gone = |name: &&String| roles.iter().all(|role| role.name != **name);
        self.project.roster.names().filter(is_gone).cloned().collect()
    }

    /// Refuses a role that the cluster itself lives by.
    ///
    /// # Errors
    /// [`Kind::Input`] with the command for it.
    pub fn refuse_own(&self, name: &str) -> Result<(), Failure> {
        match own_account(&self.project, name) {
            None => Ok(()),
            Some(account) => Err(Failure::new(
                Kind::Input,
                Problem::new(format!("{name} is a role of the cluster itself")).fix(format!(
                    "`pgcluster rotate {}` changes its password; it cannot be dropped",
                    account.word()
                )),
            )),
        }
    }

    /// Refuses a database that is another's.
    ///
    /// # Errors
    /// [`Kind::Input`] with its owner.
    pub async fn refuse_database(&mut self, database: &str, role: &str) -> Result<(), Failure> {
        let owner = self.master.database_owner(database).await;
        match owner.map_err(objection)? {
            Some(owner) if owner != role => Err(Failure::new(
                Kind::Input,
                Problem::new(format!("there is a database {database} already, owned by {owner}")).fix(
                    "choose another name; or make the role without --database and give it what it needs by GRANT",
                ),
            )),
            _ => Ok(()),
        }
    }

    pub async fn create_database(&mut self, database: &str, role: &str) -> Result<(), Failure> {
        let owner = self.master.database_owner(database).await;
        if owner.map_err(objection)?.is_none() {
            let made = self.master.create_database(database, role).await;
            made.map_err(objection)?;
        }
        Ok(())
    }

    pub async fn create(&mut self, login: &Login, attributes: Attributes) -> Result<(), Failure> {
        self.master
            .create_role(login, attributes)
            .await
            .map_err(objection)
    }

    pub async fn set_password(&mut self, login: &Login) -> Result<(), Failure> {
        self.master.set_password(login).await.map_err(objection)
    }

    /// # Errors
    /// PostgreSQL's own list of what the role owns, and how to give it away.
    pub async fn drop_role(&mut self, role: &Role) -> Result<(), Failure> {
        let (name, admin) = (&role.name, &self.admin.user);
        self.master.drop_role(name).await.map_err(|problem| {
            objection(problem.fix(format!(
                "in each database where something is left: REASSIGN OWNED BY \"{name}\" TO \"{admin}\"; DROP OWNED BY \
                 \"{name}\"; then try again"
            )))
        })
    }

    /// Whether the master lets this login in.
    pub async fn opens(&self, login: &Login) -> Result<bool, Failure> {
        let port = self.project.topology.master().port;
        match logins::answer(&self.project, port, login, DATABASE).await {
            Ok(()) => Ok(true),
            Err(silence) if logins::is_refusal(&silence) => Ok(false),
            Err(silence) => Err(unheard(&silence)),
        }
    }

    /// As [`Users::login_through_pool`], for a login that was changed just now: a replica has to replay that first.
    /// The pool lets nobody into a database that one of the nodes does not have yet.
    pub async fn logs_in_soon(&self, login: &Login, database: &str) -> Result<(), String> {
        let deadline = Instant::now() + REPLAY_LIMIT;
        loop {
            match self.login_through_pool(login, database).await {
                Err(_) if Instant::now() + RETRY < deadline => tokio::time::sleep(RETRY).await,
                answer => return answer,
            }
        }
    }

    /// # Errors
    /// Why not, in the pool's words.
    pub async fn login_through_pool(&self, login: &Login, database: &str) -> Result<(), String> {
        let port = self.project.topology.pool_port;
        logins::answer(&self.project, port, login, database)
            .await
            .map_err(|silence| silence.reason)
    }

    /// Writes the login into the file that the pool reads when it starts.
    pub fn remember(&mut self, login: &Login) -> Result<()> {
        self.project.roster.insert(login);
        self.write_roster()
    }

    pub fn forget(&mut self, name: &str) -> Result<()> {
        match self.project.roster.remove(name) {
            true => self.write_roster(),
            false => Ok(()),
        }
    }

    fn write_roster(&self) -> Result<()> {
        workdir::write(&self.project.topology.folder, &self.project.roster.file())
    }

    /// Tells the running pool what the file has; says whether one runs.
    pub async fn tell_pool(&self) -> Result<bool> {
        let check = rotation::true_login(&self.project, Account::Pool).await;
        handover::pool(
            &self.project,
            &self.there,
            &[&self.admin, &check],
            &self.project.roster,
        )
        .await
        .context("the pool goes on with what it knew; `pgcluster user passwd` tells it again")
    }

    /// Ends the role's sessions on every node, all of them or those that come from the pool; says how many.
    pub async fn end_sessions(&mut self, role: &Role, from_pool: bool) -> Result<u64> {
        let address = match from_pool {
            false => None,
            true => {
                let topology = &self.project.topology;
                if !observed::answers(&self.there, topology.entry_service(), topology.pool_port) {
                    return Ok(0);
                }
                let seen = self.session(topology.pool_port).seen_from().await;
                seen.map_err(objection)?
            }
        };
        let mut ended = 0;
        for node in &self.project.topology.nodes {
            if observed::answers(&self.there, &node.service(), node.port) {
                let count = self
                    .session(node.port)
                    .end_sessions(role.oid, address.as_deref())
                    .await;
                ended += count.map_err(objection)?;
            }
        }
        Ok(ended)
    }

    fn session(&self, port: u16) -> Session {
        Session::new(Endpoint {
            login: self.admin.clone(),
            ..observe::endpoint(&self.project, port)
        })
    }
}

fn own_account(project: &Project, name: &str) -> Option<Account> {
    Account::ALL
        .into_iter()
        .find(|account| account.login(&project.settings).user == name)
}

/// Why a role does not log in through the pool, as far as can be told without its password.
pub fn through_pool(role: &Role, project: &Project) -> Result<(), String> {
    let name = &role.name;
    let passwd = command("passwd", name);
    let reason = if !role.login {
        "NOLOGIN: it may not log in".to_owned()
    } else if role.password.is_none() {
        format!("it has no password: {passwd}")
    } else if role.password.as_deref() != Some("scram") {
        format!("its password is stored as md5: {passwd}")
    } else if role.expired {
        "its password has expired: ALTER ROLE … VALID UNTIL".to_owned()
    } else if rotation::pool_knows(project, name) {
        return Ok(());
    } else if own_account(project, name).is_some() {
        "it is the replicas' alone".to_owned()
    } else {
        format!("the pool does not know its password: {passwd}")
    };
    Err(reason)
}

/// `pgcluster user VERB NAME` as one can paste it.
pub fn command(verb: &str, name: &str) -> String {
    Argv::new(["pgcluster", "user", verb, name]).pasteable()
}

fn unheard(silence: &Silence) -> Failure {
    Failure::new(
        Kind::NotReady,
        Problem::new(format!("master: {}", silence.reason)).fix("see `pgcluster status`"),
    )
}

fn objection(problem: Problem) -> Failure {
    Failure::new(Kind::Failed, problem)
}
