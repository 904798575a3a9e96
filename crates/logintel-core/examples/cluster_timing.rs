//! How long clustering takes: `cluster_timing FILE dbscan EPS MIN_POINTS [THREADS] [OUT]`, or `hdbscan` with
//! `MIN_CLUSTER_SIZE MIN_SAMPLES`, or `nearest`: how long it takes to find the nearest even row of each odd one.
//!
//! FILE holds a matrix as `tests/oracle/timing.py` writes it: columns, rows and entries as u64, then row offsets
//! as u64, columns as u32, values as f32, all little endian. OUT gets one label a line, -1 for noise.
use std::borrow::Cow;
use std::time::Instant;

use logintel_core::control::Control;
use logintel_core::dbscan::Dbscan;
use logintel_core::hdbscan::Hdbscan;
use logintel_core::neighbors::{Index, Scratch};
use logintel_core::sparse::CsrMatrix;

struct Threads(usize);
impl Control for Threads {
    fn threads(&self) -> usize {
        self.0
    }

    fn progress(&self, phase: &'static str, done: u64, total: u64) {
        if std::env::var_os("LOGINTEL_PHASES").is_some() {
            eprintln!("{:?} {phase} {done} of {total}", Instant::now());
        }
    }
}

fn read(path: &str) -> CsrMatrix {
    let bytes = std::fs::read(path).expect("a readable file");
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at * 8..][..8].try_into().expect("8 bytes")) as usize;
    let (dim, rows, nnz) = (u64_at(0), u64_at(1), u64_at(2));
    let at = 8 * (4 + rows);
    let fours = |at: usize| bytes[at..at + 4 * nnz].chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]);
    CsrMatrix {
        dim: dim as u32,
        indptr: (0..=rows).map(|i| u64_at(3 + i)).collect(),
        indices: fours(at).map(u32::from_le_bytes).collect(),
        values: fours(at + 4 * nnz).map(f32::from_le_bytes).collect(),
    }
}

fn nearest(rows: &CsrMatrix) {
    let mut even = CsrMatrix::new(rows.dim);
    for i in (0..rows.rows()).step_by(2) {
        even.push(rows.row(i)).expect("rows of one matrix");
    }
    let index = Index::new(Cow::Owned(even), &Threads(1)).expect("an index");
    let mut scratch = Scratch::default();
    let begun = Instant::now();
    let (mut count, mut sum) = (0, 0.0);
    for i in (1..rows.rows()).step_by(2) {
        sum += index.nearest(rows.row(i), &mut scratch).expect("a search").expect("a row").distance;
        count += 1;
    }
    println!(
        "{count} searches among {} rows: {:.1} us each, mean distance {:.4}",
        index.rows().len(),
        begun.elapsed().as_secs_f64() * 1e6 / f64::from(count),
        sum / f64::from(count)
    );
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rows = read(&args[0]);
    let control = Threads(args.get(4).map_or(1, |t| t.parse().expect("a number of threads")));
    if args[1] == "nearest" {
        return nearest(&rows);
    }
    let weights = vec![1; rows.rows()];
    let begun = Instant::now();
    let labels = match args[1].as_str() {
        "dbscan" => {
            let eps = args[2].parse().expect("eps");
            let min_points = args[3].parse().expect("min_points");
            Dbscan { eps, min_points }.fit(&rows, &weights, &control).expect("a fit")
        }
        "hdbscan" => {
            let min_cluster_size = args[2].parse().expect("min_cluster_size");
            let min_samples = args[3].parse().expect("min_samples");
            let row_of: Vec<u32> = (0..rows.rows() as u32).collect();
            Hdbscan { min_cluster_size, min_samples }.fit(&rows, &row_of, &control).expect("a fit")
        }
        other => panic!("unknown method {other}"),
    };
    println!(
        "{} rows, {:.1} entries each: {:.3} s, {} clusters, {} noise rows, {} core rows",
        rows.rows(),
        rows.indices.len() as f64 / rows.rows() as f64,
        begun.elapsed().as_secs_f64(),
        labels.clusters,
        labels.labels.iter().filter(|l| l.is_none()).count(),
        labels.core.iter().filter(|c| **c).count(),
    );
    if let Some(out) = args.get(5) {
        let lines: Vec<String> =
            labels.labels.iter().map(|l| l.map_or("-1".into(), |l| l.to_string())).collect();
        std::fs::write(out, lines.join("\n")).expect("a writable file");
    }
}
