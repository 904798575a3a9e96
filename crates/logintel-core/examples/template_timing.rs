//! How fast templates are mined: `template_timing FILE [TIMES]`, where FILE holds a message a line.
//!
//! Each time everything is done anew on one thread, masks included. The processor's time is what to compare, by
//! `perf stat` or `time`, where other work runs beside.
use std::time::Instant;

use logintel_core::control::{Unattended, Watch};
use logintel_core::mask::Masker;
use logintel_core::options::Masks;
use logintel_core::template::{Miner, Scratch};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let bytes = std::fs::read(arguments.next().expect("a file")).expect("a file that can be read");
    let times: usize = arguments.next().map_or(3, |times| times.parse().expect("a number of times"));
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let masker = Masker::new(&Masks::BuiltIn).expect("built-in masks");
    let watch = Watch::default();
    for _ in 0..times {
        let begun = Instant::now();
        let mut miner = Miner::new(Vec::new(), u64::MAX);
        for line in &lines {
            let message = masker.mask(line, &watch).expect("a message of ordinary length");
            miner.add(&message, 1, &Unattended).expect("nobody stops it");
        }
        let gathered = begun.elapsed();
        let begun_to_mine = Instant::now();
        let found = miner.finish(&Unattended).expect("nobody stops it");
        let merged = begun_to_mine.elapsed();
        println!(
            "{} lines, {} templates: {:.1} ms gathered, {:.1} ms mined, {:.0} lines/s",
            lines.len(),
            found.templates.list.len(),
            gathered.as_secs_f64() * 1e3,
            merged.as_secs_f64() * 1e3,
            lines.len() as f64 / (gathered + merged).as_secs_f64(),
        );
        let (matcher, mut scratch) =
            (found.templates.matcher(&Unattended).expect("a matcher"), Scratch::default());
        let begun = Instant::now();
        let mut known = 0;
        for line in &lines {
            let message = masker.mask(line, &watch).expect("a message of ordinary length");
            known += usize::from(matcher.find(&message, &mut scratch).is_some());
        }
        let took = begun.elapsed().as_secs_f64();
        println!("{known} of them found again, {:.0} lines/s", lines.len() as f64 / took);
    }
}
