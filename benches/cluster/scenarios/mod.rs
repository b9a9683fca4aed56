//! What is measured, one file a benchmark.

mod b01_start;
mod b02_growth;
mod b04_scale;
mod b05_clone;
mod b07_repeat;
mod b08_down;
mod b09_crash;
mod b10_reads;
mod b11_status;
mod b12_nothing;
mod b13_idle;
mod load;
mod scaling;

use anyhow::Result;

use crate::record::Findings;

pub struct Scenario {
    pub id: &'static str,
    pub title: &'static str,
    /// How often it is run where others are run seven times.
    pub of_seven: usize,
    pub measure: fn(usize, &mut Findings) -> Result<()>,
}

impl Scenario {
    pub fn runs(&self, wanted: usize) -> usize {
        (wanted * self.of_seven).div_ceil(7)
    }
}

const fn scenario(
    id: &'static str,
    title: &'static str,
    of_seven: usize,
    measure: fn(usize, &mut Findings) -> Result<()>,
) -> Scenario {
    Scenario {
        id,
        title,
        of_seven,
        measure,
    }
}

#[rustfmt::skip]
pub const SCENARIOS: &[Scenario] = &[
    scenario("B1", "a cluster of 1 + 3 from nothing", 7, b01_start::measure),
    scenario("B2", "growth with the number of replicas", 7, b02_growth::measure),
    scenario("B4", "one replica more in a running cluster", 7, b04_scale::measure),
    scenario("B5", "three replicas more with 2 GB of data", 7, b05_clone::measure),
    scenario("B7", "start and removal, 1 + 4 to 1 + 10", 20, b07_repeat::measure),
    scenario("B8", "`down` with 20 busy clients", 10, b08_down::measure),
    scenario("B9", "crash of the master under load", 7, b09_crash::measure),
    scenario("B10", "reads through the pool", 7, b10_reads::measure),
    scenario("B11", "`status`", 21, b11_status::measure),
    scenario("B12", "rendering, and `up` with nothing to do", 21, b12_nothing::measure),
    scenario("B13", "an idle cluster", 7, b13_idle::measure),
];
