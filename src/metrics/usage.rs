//! CPU, memory and start of this process, from /proc (proc(5)); nothing where there is none.

/// Clock ticks in a second: `USER_HZ`, 100 on every architecture Rust's standard library supports on Linux.
const TICKS: f64 = 100.0;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// User and system time, seconds.
    pub cpu: f64,
    pub resident_bytes: u64,
    /// Unix seconds.
    pub started: f64,
}

impl Usage {
    pub fn read() -> Option<Self> {
        let file = |path| std::fs::read_to_string(path).ok();
        Self::parse(&file("/proc/self/stat")?, &file("/proc/self/status")?, &file("/proc/stat")?)
    }

    fn parse(stat: &str, status: &str, system: &str) -> Option<Self> {
        // The name of the command is in parentheses and may hold spaces; field 3 follows the last of them.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
        let number = |text: &str, key: &str| {
            let line = text.lines().find_map(|l| l.strip_prefix(key))?;
            line.split_ascii_whitespace().next()?.parse::<u64>().ok()
        };
        let boot = system.lines().find_map(|l| l.strip_prefix("btime "))?.trim().parse::<f64>().ok()?;
        Some(Self {
            cpu: (ticks(14)? + ticks(15)?) / TICKS,
            resident_bytes: number(status, "VmRSS:")? * 1024,
            started: boot + ticks(22)? / TICKS,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_the_name_of_the_command() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 3 0 12345 100 200 18446744073709551615";
        let found = Usage::parse(stat, "Name:\ta\nVmRSS:\t    2048 kB\n", "cpu 1 2\nbtime 1795000000\n");
        assert_eq!(found, Some(Usage { cpu: 3.0, resident_bytes: 2 << 20, started: 1_795_000_123.45 }));
        assert_eq!(Usage::parse("", "", ""), None);
    }
}
