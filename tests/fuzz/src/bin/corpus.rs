//! `corpus list`: the targets. `corpus unpack NAME FOLDER`: what is kept of one, a file for each input, as libFuzzer wants it.
//! `corpus pack NAME FOLDER`: the other way.
use std::path::Path;

use logintel_fuzz::{TARGETS, corpus, target};

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let known = |name: &str| target(name).unwrap_or_else(|| panic!("there is no target {name}"));
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => TARGETS.iter().for_each(|target| println!("{}", target.name)),
        ["unpack", name, folder] => corpus::unpack(known(name), Path::new(folder))?,
        ["pack", name, folder] => corpus::pack(known(name), Path::new(folder))?,
        _ => panic!("corpus list | unpack NAME FOLDER | pack NAME FOLDER"),
    }
    Ok(())
}
