//! The settings that are one word of a few.

use std::fmt;

/// A setting whose value is one of a fixed list of words.
pub trait Choice: Copy + PartialEq + 'static {
    /// Every word with what it stands for, in the order in which help lists them.
    const WORDS: &'static [(&'static str, Self)];

    /// What `word` stands for.
    fn of(word: &str) -> Option<Self> {
        Self::WORDS
            .iter()
            .find(|(name, _)| *name == word)
            .map(|(_, choice)| *choice)
    }

    /// The word for it.
    fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(_, choice)| *choice == self)
            .map_or("", |(name, _)| name)
    }
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant),* }

        impl Choice for $name {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, $name::$variant)),*];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

choice!(
    /// For how long a client keeps the server connection that it got from the pool.
    ConnectionMode {
        /// Until it leaves: it talks to Pgpool-II itself.
        Session = "session",
        /// For a transaction: PgBouncer stands in front of Pgpool-II.
        Transaction = "transaction",
        /// For a statement; transactions of several are refused.
        Statement = "statement",
    }
);

impl ConnectionMode {
    /// Whether PgBouncer stands in front of Pgpool-II.
    pub fn has_bouncer(self) -> bool {
        self != ConnectionMode::Session
    }
}

choice!(
    /// Which results Pgpool-II keeps in memory.
    QueryCache {
        /// None.
        Off = "off",
        /// Those of queries that ask for it.
        Hint = "hint",
        /// All that Pgpool-II takes for cacheable.
        All = "all",
    }
);

choice!(
    /// What a read through the pool is sure to see.
    ReadConsistency {
        /// In a transaction its own writes; else what the replica has replayed.
        Eventual = "eventual",
        /// Everything its own session wrote.
        Session = "session",
        /// Everything anyone committed.
        Strict = "strict",
    }
);

choice!(
    /// How much of the machine a node takes.
    Profile {
        Small = "small",
        Medium = "medium",
        Large = "large",
    }
);

choice!(
    /// Where the data directories are.
    DataPlace {
        /// In the folder of each node, `./master/pgdata`.
        Directory = "directory",
        /// In a named volume of Docker for each node.
        Volume = "volume",
    }
);

impl DataPlace {
    /// Where nothing is chosen. A bind mount on Windows cannot keep the mode 0700 that PostgreSQL wants.
    pub const fn of_this_system() -> Self {
        if cfg!(windows) {
            DataPlace::Volume
        } else {
            DataPlace::Directory
        }
    }
}
