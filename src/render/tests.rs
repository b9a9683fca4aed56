//! The quick way of rendering gives what the plain one gives.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::configured::Configured;
use super::{Rendering, quick, render, render_by};
use crate::assets::{Sources, TEMPLATES};
use crate::env_file::EnvFile;
use crate::error::Failure;
use crate::settings::Settings;
use crate::topology::Topology;

const PORTS: &str = "MASTER_PORT=20000\nPGPOOL_PORT=19999\nSLAVE1_PORT=20001\nSLAVE2_PORT=20002\n";

struct Case {
    settings: Settings,
    topology: Topology,
    sources: Sources,
}

/// A cluster with these replicas; the keys of `env` come on top of ports with room for many.
fn case(env: &str, replicas: impl IntoIterator<Item = u32>) -> Case {
    let ids: BTreeSet<u32> = replicas.into_iter().collect();
    let highest = ids.last().copied().unwrap_or(0);
    let env = EnvFile::parse(format!("{PORTS}{env}").as_bytes(), Path::new(".env")).unwrap();
    let (settings, _) = Settings::resolve(&env, |_| None, highest).unwrap_or_else(|p| panic!("{p:?}"));
    let topology = Topology::new(Path::new("/some/where"), &settings).only(&ids);
    let empty = tempfile::tempdir().unwrap();
    let sources = Sources::read(empty.path(), highest).unwrap();
    Case {
        settings,
        topology,
        sources,
    }
}

impl Case {
    fn by(&self, quickly: bool) -> Result<Rendering, Failure> {
        render_by(&self.settings, &self.topology, &self.sources, quickly)
    }

    /// Both ways come to the same.
    fn check(&self) -> Rendering {
        let (quick, plain) = (self.by(true).unwrap(), self.by(false).unwrap());
        let paths = |rendering: &Rendering| -> Vec<(String, bool)> {
            let files = rendering.files.iter();
            files.map(|file| (file.path.clone(), file.private)).collect()
        };
        assert_eq!(paths(&quick), paths(&plain));
        for (quick, plain) in quick.files.iter().zip(&plain.files) {
            let text = |content| String::from_utf8_lossy(content).into_owned();
            assert_eq!(text(&quick.content), text(&plain.content), "{}", plain.path);
            assert_eq!(quick.content, plain.content, "{}", plain.path);
        }
        assert_eq!(quick.images, plain.images);
        assert_eq!(quick.specs, plain.specs);
        assert_eq!(quick.config_hashes, plain.config_hashes);
        let configured = |rendering: &Rendering| -> BTreeMap<u32, Configured> {
            let nodes = rendering.configured.iter();
            nodes.map(|(id, configured)| (*id, configured.all())).collect()
        };
        assert_eq!(configured(&quick), configured(&plain));
        for (id, plain) in configured(&plain) {
            for (name, assigned) in plain {
                assert_eq!(quick.configured[&id].get(&name), Some(&assigned));
            }
        }
        quick
    }
}

#[test]
fn whatever_the_settings_are() {
    for env in [
        "",
        "DATA=volume\nCONNECTION_MODE=transaction",
        "TLS=on\nCONNECTION_MODE=transaction",
        "CONNECTION_MODE=statement\nREAD_CONSISTENCY=strict\nQUERY_CACHE=off\nPROFILE=large",
        "EXTENSIONS=vector,pg_cron\nEXTRA_PACKAGES=postgresql-17-cron\nBIND_ADDRESS=0.0.0.0\nQUERY_CACHE=hint",
        "POSTGRES_USER='a \"b\" ${c} %7 {{ node.name }} {% x'\nREPLICATION_USER='it''s \\\\ ü'\nPOOL_USER='<&>'",
        "POSTGRES_DB='slave1'\nPOSTGRES_USER=master\nREPLICATION_USER=slave2\nPOOL_USER='0'",
        // These look like what stands in for a replica's own words.
        "POSTGRES_USER='\u{e000}1\u{e000}'\nREPLICATION_USER='\u{e000}'",
        "EXTENSIONS=pg_cron\nEXTRA_PACKAGES=postgresql-17-cron\nPOSTGRES_DB=hash-to-come",
    ] {
        for replicas in [0, 1, 2, 13] {
            case(env, 1..=replicas).check();
        }
        case(env, [2, 3, 11, 40]).check();
    }
}

#[test]
fn whatever_files_the_user_has() {
    let mut case = case("EXTENSIONS=pg_cron\nEXTRA_PACKAGES=postgresql-17-cron", 1..=12);
    let mark = "application_name = '\u{e000}1\u{e000}'\npgcluster.config_hash = hash-to-come\n";
    let replica = &mut case.sources.slave_template;
    let postgresql = replica.get_mut("config/postgresql.conf").unwrap();
    postgresql.extend(format!("include_dir 'more'\ncluster_name = mine\n{mark}").bytes());
    for (path, content) in [
        (
            "config/more/1.conf",
            "work_mem = 1MB\ninclude '../cluster.conf'\n",
        ),
        (
            "config/more/2.conf",
            "work_mem = 2MB\nprimary_slot_name = 'other'\n",
        ),
        ("config/aaa.conf", ""),
        ("config/zzz/\u{e000}1\u{e000}.conf", "\u{e000}1\u{e000}"),
        ("config/cluster.conf", "never read\n"),
        ("other", "never written\n"),
    ] {
        replica.insert(path.to_owned(), content.into());
    }
    replica.insert("config/binary".to_owned(), vec![0xee, 0x80, 0x80, 0xff, 0]);
    let master = &mut case.sources.master;
    master.insert("config/own.conf".to_owned(), b"a = 1\n".to_vec());
    for (id, local) in [
        (0, "max_connections = 300\n"),
        (2, "work_mem = 7MB\n"),
        (3, "work_mem = 7MB\n"),
        (10, mark),
    ] {
        case.sources.locals.insert(id, local.into());
    }
    case.settings.admin.user = "someone".to_owned();
    // Enough for the master's.
    for id in 1..=12 {
        let local = case.sources.locals.entry(id).or_default();
        local.extend(b"max_connections = 400\n");
    }
    let rendering = case.check();
    let value = |id: u32, name: &str| {
        rendering.configured[&id]
            .get(name)
            .map(|found| found.value.clone())
    };
    assert_eq!(value(3, "work_mem").as_deref(), Some("7MB"));
    assert_eq!(
        value(10, "application_name").as_deref(),
        Some("\u{e000}1\u{e000}")
    );
}

/// One of several replicas that read the same may still read something that no other does.
#[test]
fn the_problems_are_the_same() {
    let texts = |failure: Failure| -> Vec<(String, Option<String>)> {
        let problems = failure.problems.into_iter();
        problems.map(|problem| (problem.what, problem.fix)).collect()
    };
    let mut case = case("", 1..=4);
    for (master, replica, locals) in [
        ("max_locks_per_transaction = 128\n", "", &[][..]),
        ("", "max_connections = 3\n", &[2, 4]),
        ("", "", &[2, 4]),
        ("max_worker_processes = 64\n", "max_wal_senders = 1\n", &[3]),
    ] {
        let set = |files: &mut BTreeMap<String, Vec<u8>>, text: &str| {
            files.insert("config/postgresql.conf".to_owned(), text.into());
        };
        set(&mut case.sources.master, master);
        set(&mut case.sources.slave_template, replica);
        let local = |id: &u32| {
            (
                *id,
                b"max_prepared_transactions = -1\nmax_connections = 7\n".to_vec(),
            )
        };
        case.sources.locals = locals.iter().map(local).collect();
        let (quick, plain) = (case.by(true).unwrap_err(), case.by(false).unwrap_err());
        assert_eq!(texts(quick), texts(plain));
    }
}

/// What a template of the user's does with its node is the user's own affair, however unusual.
#[test]
fn templates_of_the_user_are_run_for_each_node() {
    let cluster = "{% if node.name == 'slave2' or loop_0 is defined %}second{% endif %} {{ node.slot | upper }}{{ node.name | length }}\n\
                   {{ config_hash | replace(from='-', to='') }} {{ config_hash }}\nmax_connections = 240\ninclude '{{ node.name }}.conf'\n";
    let mut case = case("", 1..=2);
    let mut set = |path: &str, text: &str| case.sources.templates.insert(path.to_owned(), text.to_owned());
    set("templates/cluster.conf.tera", cluster);
    let backends = "{% for node in replicas %}{% if node.replica_id + node.port > 20003 %}{{ node.title }}{% endif %}{% endfor %}\
                    {{ nodes | length }} {{ node.name }} {{ has_local }} {{ config_hash }}\n";
    set("templates/backends.conf.tera", backends);
    case.sources
        .slave_template
        .insert("config/slave2.conf".to_owned(), b"work_mem = 9MB\n".to_vec());
    let rendering = case.check();
    let file = |path: &str| {
        let file = rendering.files.iter().find(|file| file.path == path).unwrap();
        String::from_utf8(file.content.to_vec()).unwrap()
    };
    let hash = &rendering.config_hashes[&2];
    let expected =
        format!("second SLAVE26\nhashtocome {hash}\nmax_connections = 240\ninclude 'slave2.conf'\n");
    assert_eq!(file("slave-2/config/cluster.conf"), expected);
    let hash = &rendering.config_hashes[&1];
    let expected = format!(" SLAVE16\nhashtocome {hash}\nmax_connections = 240\ninclude 'slave1.conf'\n");
    assert_eq!(file("slave-1/config/cluster.conf"), expected);
    assert_eq!(
        file("pgpool/backends.conf"),
        "slave-23 slave2 false hash-to-come\n"
    );
    let work_mem = |id: u32| {
        rendering.configured[&id]
            .get("work_mem")
            .map(|found| found.value.clone())
    };
    assert_eq!((work_mem(1), work_mem(2)), (None, Some("9MB".to_owned())));
}

#[test]
fn a_broken_template_of_the_user_is_told() {
    let mut case = case("", 1..=1);
    for text in ["{{ nothing }}", "{% if %}"] {
        case.sources
            .templates
            .insert("templates/pool_hba.conf.tera".to_owned(), text.to_owned());
        let failure = render(&case.settings, &case.topology, &case.sources).unwrap_err();
        let problem = &failure.problems[0];
        assert!(problem.what.starts_with("a template is broken: "), "{problem:?}");
        assert!(
            problem
                .evidence
                .iter()
                .any(|line| line.contains("pool_hba.conf.tera")),
            "{problem:?}"
        );
        assert!(
            problem
                .fix
                .as_ref()
                .is_some_and(|fix| fix.contains("remove your copy from templates/"))
        );
    }
}

#[test]
fn the_quick_way_is_taken_with_built_in_templates_only() {
    let is_quick = |sources: &Sources, env: &str| {
        let case = case(env, 1..=1);
        let images = super::fingerprint::images(&case.settings, sources);
        let common = super::Common::of(&case.settings, &case.topology, sources, &images);
        quick::is_right(sources, &common)
    };
    let mut case = case("", 1..=1);
    assert!(is_quick(&case.sources, ""));
    assert!(!is_quick(&case.sources, "POSTGRES_DB='\u{e000}'"));
    assert!(!is_quick(&case.sources, "POSTGRES_DB='a hash-to-come'"));
    for (path, text) in TEMPLATES.iter().filter(|(path, _)| path.ends_with(".tera")) {
        case.sources
            .templates
            .insert((*path).to_owned(), format!("{text} "));
        assert!(!is_quick(&case.sources, ""), "{path}");
        render(&case.settings, &case.topology, &case.sources).unwrap();
        case.sources
            .templates
            .insert((*path).to_owned(), (*text).to_owned());
    }
}

/// A folder keeps the scripts of its nodes, while those of the pool come with each version.
#[test]
fn scripts_of_the_pool_do_not_lean_on_older_ones_of_the_folder() {
    let mut case = case("CONNECTION_MODE=transaction\n", 1..=1);
    case.sources
        .slave_template
        .insert("node-common.sh".to_owned(), b"# of an older version\n".to_vec());
    let rendering = render(&case.settings, &case.topology, &case.sources).unwrap();
    for (folder, older) in [
        ("slave-1", true),
        ("master", true),
        ("pgpool", false),
        ("pgbouncer", false),
    ] {
        let path = format!("{folder}/node-common.sh");
        let file = rendering.files.iter().find(|file| file.path == path).unwrap();
        let is_older = file.content.starts_with(b"# of an older version");
        assert_eq!(is_older, older, "{path}");
    }
}
