//! Which functions of a program ran, from what callgrind wrote down.

use std::collections::{HashMap, HashSet};

/// The symbols of `program` that ran, in the order the profiles first have them, each once.
///
/// `program`: the file name of the traced program. `profiles`: texts of callgrind's output with mangled names.
pub fn ran<'a>(program: &str, profiles: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let (mut seen, mut order) = (HashSet::new(), Vec::new());
    for profile in profiles {
        let (mut objects, mut functions) = (HashMap::new(), HashMap::new());
        let mut ours = false;
        for line in profile.lines() {
            let Some((key, rest)) = line.split_once("=(") else { continue };
            let Some((id, name)) = rest.split_once(')') else { continue };
            let names = match key {
                "ob" | "cob" => &mut objects,
                "fn" | "cfn" => &mut functions,
                _ => continue,
            };
            // A name is written out where it first occurs and is a number from then on.
            let name = match name.trim_start() {
                "" => names.get(id).copied().unwrap_or_default(),
                name => {
                    names.insert(id, name);
                    name
                }
            };
            if key == "ob" {
                ours = name.rsplit('/').next() == Some(program);
            } else if key == "fn" && ours {
                // What calls itself has a counter behind it.
                let symbol = name.split('\'').next().unwrap_or_default();
                // What has no name of its own has an address.
                if !symbol.starts_with("0x") && seen.insert(symbol.to_owned()) {
                    order.push(symbol.to_owned());
                }
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_the_program_alone_count_each_once() {
        let one = "version: 1\nob=(1) /lib/ld.so\nfl=(1) x.c\nfn=(1) _dl_start\n0x1 3\ncob=(2) /a/unstick\ncfn=(2) _ZN4main\n\
            calls=1 0\n0x1 9\n\nob=(2)\nfn=(2)\n0x2 1\nfn=(3) _ZN3oft'2\n0x3 1\nfn=(4) 0x0000beef\n0x4 1\n";
        let two = "ob=(1) /a/unstick\nfn=(1) _ZN3oft\n0x1 1\nfn=(9) _ZN3new\n0x2 1\nob=(2) /a/unstick-not\nfn=(3) _ZN5other\n";
        assert_eq!(ran("unstick", [one, two]), ["_ZN4main", "_ZN3oft", "_ZN3new"]);
    }
}
