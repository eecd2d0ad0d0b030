//! How much of link/order.txt is in the program: a name that is not there any more lies wherever it falls, and the
//! program needs more memory.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use unstick_bed::measure::Table;

use super::Setting;

pub fn run(setting: &Setting, table: &mut Table) -> Result<()> {
    let label = "functions of link/order.txt that the program has";
    if !cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
        table.note(label, "not used on this target");
        return Ok(());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("link/order.txt");
    let list = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let program = std::fs::read(&setting.operator).with_context(|| setting.operator.display().to_string())?;
    // Names end with a zero byte in an ELF file's table of strings.
    let names: HashSet<&[u8]> = program.split(|byte| *byte == 0).collect();
    let all = list.lines().count();
    let found = list.lines().filter(|name| names.contains(name.as_bytes())).count();
    ensure!(all > 1_000, "{all} names in {}", path.display());
    table.at_least(label, found as f64 / all as f64, 0.9, |share| format!("{:.1} %", share * 100.0));
    Ok(())
}
