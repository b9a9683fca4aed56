//! What a word of `PROFILE` stands for: one row of numbers, from which the templates get theirs. Pure.

use serde::Serialize;

use super::Profile;

/// Connections of each server that are not the pool's: superusers, checks, tools.
pub const RESERVE: u64 = 20;

/// How much one node and the pool take. Sizes are in MB, where 1 MB is 2^20 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sizing {
    /// Clients that the pool serves at once: Pgpool-II's `num_init_children`. Each holds a connection to every node.
    pub pool_children: u32,
    pub max_connections: u32,
    pub shared_buffers: u32,
    pub effective_cache_size: u32,
    pub work_mem: u32,
    pub maintenance_work_mem: u32,
    /// The container's `/dev/shm`, where parallel queries exchange rows: a limit, not a reservation.
    pub shm_size: u32,
}

impl Profile {
    /// Measured with Pgpool-II 4.7: 100, 220 or 450 children make no difference to the time until the pool answers;
    /// a third of a MB each does to its memory (57, 95 and 168 MB in all).
    pub const fn sizing(self) -> Sizing {
        match self {
            Profile::Small => Sizing {
                pool_children: 90,
                max_connections: 120,
                shared_buffers: 64,
                effective_cache_size: 256,
                work_mem: 4,
                maintenance_work_mem: 64,
                shm_size: 256,
            },
            Profile::Medium => Sizing {
                pool_children: 220,
                max_connections: 250,
                shared_buffers: 128,
                effective_cache_size: 1024,
                work_mem: 8,
                maintenance_work_mem: 128,
                shm_size: 256,
            },
            Profile::Large => Sizing {
                pool_children: 450,
                max_connections: 500,
                shared_buffers: 1024,
                effective_cache_size: 4096,
                work_mem: 16,
                maintenance_work_mem: 512,
                shm_size: 1024,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Choice;

    #[test]
    fn every_profile_leaves_the_reserve() {
        for (word, profile) in Profile::WORDS {
            let sizing = profile.sizing();
            assert!(
                u64::from(sizing.pool_children) + RESERVE <= u64::from(sizing.max_connections),
                "{word}"
            );
        }
    }
}
