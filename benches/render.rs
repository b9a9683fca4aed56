//! How long it takes to render a cluster: settings and sources are there, and nothing is written.

use std::path::Path;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use pgcluster::assets::Sources;
use pgcluster::env_file::EnvFile;
use pgcluster::render::render;
use pgcluster::settings::Settings;
use pgcluster::topology::Topology;

fn rendering(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("render");
    group.sample_size(50).measurement_time(Duration::from_secs(3));
    let folder = tempfile::tempdir().expect("a temporary folder");
    for replicas in [3, 100, 1000] {
        let sources = Sources::read(folder.path(), replicas).expect("the embedded files");
        let (settings, topology) = wanted(folder.path(), replicas);
        group.bench_function(BenchmarkId::from_parameter(replicas), |bencher| {
            bencher.iter(|| {
                render(&settings, &topology, &sources)
                    .map(drop)
                    .expect("it renders")
            });
        });
    }
    group.finish();
}

/// The defaults, with ports that have room for a thousand replicas.
fn wanted(folder: &Path, replicas: u32) -> (Settings, Topology) {
    let env = b"MASTER_PORT=20000\nPGPOOL_PORT=19999\nSLAVE1_PORT=20001\nSLAVE2_PORT=20002\n";
    let env = EnvFile::parse(env, Path::new(".env")).expect("it parses");
    let (settings, _) = Settings::resolve(&env, |_| None, replicas).expect("it resolves");
    let topology = Topology::new(folder, &settings);
    (settings, topology)
}

criterion_group!(benches, rendering);
criterion_main!(benches);
