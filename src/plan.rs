//! What will be done, and why: data that prints as text. [`crate::reconcile`] makes it, [`crate::execute`] does it.

use std::fmt;

use crate::topology;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write a file of the project folder.
    Write { path: String },
    /// Build these images.
    Build { images: Vec<String> },
    /// Let a frozen container go on.
    Unpause { service: String },
    /// End the pause between the restarts of a container that keeps failing.
    Revive { service: String },
    /// Send no new session to these nodes, and wait for those that they have.
    Drain { ids: Vec<u32> },
    /// Send no more traffic to this node.
    Detach { id: u32 },
    /// Let PgBouncer open its connections anew, each when no client uses it: Pgpool-II then chooses again among its nodes.
    Reconnect,
    /// Create, recreate or start the container of a service.
    Start { service: String },
    /// Stop and remove the container of a service that is no longer there.
    Remove { service: String },
    /// Set a replica's data aside and let it clone again.
    Rebuild { id: u32 },
    /// Make the slot through which a replica streams.
    CreateSlot { id: u32 },
    /// Drop the slot of a removed replica.
    DropSlot { name: String },
    /// Let commits wait for these replicas (node names), and for no other.
    SetSynchronous { names: Vec<String> },
    /// Create an extension on the master.
    CreateExtension { name: String, database: String },
    /// Make a server read its configuration again.
    Reload { id: u32 },
    /// Recreate the container of a service that serves, while the others go on.
    Replace { service: String },
    /// Restart a server.
    Restart { id: u32 },
    /// Make Pgpool read its list of nodes again.
    ReloadPool,
    /// Send traffic to this node.
    Attach { id: u32 },
}

/// A step with its cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    pub step: Step,
    pub cause: String,
}

impl Step {
    pub fn because(self, cause: impl Into<String>) -> Planned {
        Planned {
            step: self,
            cause: cause.into(),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Write { path } => write!(f, "write {path}"),
            Step::Build { images } => write!(f, "build {}", images.join(", ")),
            Step::Unpause { service } => write!(f, "unpause {service}"),
            Step::Revive { service } => write!(f, "restart {service}"),
            Step::Drain { ids } => {
                let titles: Vec<String> = ids.iter().map(|id| topology::title(*id)).collect();
                write!(
                    f,
                    "send no new session to {}, and wait for those it has",
                    titles.join(", ")
                )
            }
            Step::Reconnect => write!(f, "let pgbouncer connect anew"),
            Step::Detach { id } => write!(f, "detach {} from the pool", topology::title(*id)),
            Step::Start { service } => write!(f, "start {service}"),
            Step::Remove { service } => write!(f, "remove {service}"),
            Step::Rebuild { id } => {
                write!(f, "clone {} again, and keep what it has", topology::title(*id))
            }
            Step::CreateSlot { id } => write!(f, "create slot {}", topology::name(*id)),
            Step::DropSlot { name } => write!(f, "drop slot {name}"),
            Step::SetSynchronous { names } if names.is_empty() => {
                write!(f, "let commits wait for no replica")
            }
            Step::SetSynchronous { names } => write!(f, "let commits wait for {}", names.join(", ")),
            Step::CreateExtension { name, database } => write!(f, "create extension {name} in {database}"),
            Step::Reload { id } => write!(f, "reload {}", topology::title(*id)),
            Step::Replace { service } => write!(f, "replace {service}"),
            Step::Restart { id } => write!(f, "restart {}", topology::title(*id)),
            Step::ReloadPool => write!(f, "reload the pool"),
            Step::Attach { id } => write!(f, "attach {} to the pool", topology::title(*id)),
        }
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  ({})", self.step, self.cause)
    }
}
