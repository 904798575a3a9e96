//! Cases and what scikit-learn makes of them: from the interpreter that `LOGINTEL_PYTHON` names, or, without it,
//! the small ones kept beside the tests.
use std::path::Path;
use std::process::Command;

use logintel_core::sparse::{CsrMatrix, SparseRef};

/// Some rows and what was found in them.
#[derive(serde::Deserialize)]
pub struct DataSet<T> {
    dim: u32,
    rows: Vec<(Vec<u32>, Vec<f32>)>,
    /// What was found.
    pub cases: Vec<T>,
}

impl<T> DataSet<T> {
    /// The rows.
    pub fn matrix(&self) -> CsrMatrix {
        let mut matrix = CsrMatrix::new(self.dim);
        for (indices, values) in &self.rows {
            matrix
                .push(SparseRef { dim: self.dim, indices, values })
                .expect("rows of the matrix's dimensions");
        }
        matrix
    }
}

/// The data sets that `tests/oracle/<name>.py` writes.
pub fn data_sets<T: serde::de::DeserializeOwned>(name: &str) -> Vec<DataSet<T>> {
    cases(name)
}

/// What `tests/oracle/<name>.py` writes.
pub fn cases<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = if let Some(python) = std::env::var_os("LOGINTEL_PYTHON") {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.json"));
        let script = here.join("../../tests/oracle").join(format!("{name}.py"));
        let status =
            Command::new(python).arg(script).arg(&out).status().expect("LOGINTEL_PYTHON is an interpreter");
        assert!(status.success(), "the oracle {name} runs");
        std::fs::read_to_string(out)
    } else {
        std::fs::read_to_string(here.join("tests/fixtures").join(format!("{name}.json")))
    };
    serde_json::from_str(&text.expect("cases")).expect("cases as the oracle writes them")
}
