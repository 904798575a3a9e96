//! Standardising without centring: each component divided by its population standard deviation.
//!
//! The numbers are those of scikit-learn's `StandardScaler(with_mean=False)` on a sparse float64 matrix: variance by
//! the corrected two-pass algorithm of Chan, Golub and LeVeque, and a component that cannot be told from a constant
//! within that algorithm's error bound keeps its scale.

use hashbrown::HashSet;

use crate::control::Control;
use crate::error::{Error, Result};
use crate::sparse::{CsrMatrix, SparseRef, SparseVec};

/// Cells between two polls.
const POLL: usize = 1 << 16;

/// How one column is scaled.
#[derive(Debug, Clone, Copy, PartialEq, bincode::Encode, bincode::Decode)]
#[repr(C)]
pub struct ColumnScale {
    /// What its values are multiplied with.
    pub factor: f64,
    /// 0-based.
    pub column: u32,
    /// Always 0; leaves no byte of the value undefined.
    pub unused: u32,
}

/// A fitted scaler.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StandardScaler {
    /// Ascending by column; columns that keep their scale are left out.
    columns: Vec<ColumnScale>,
}

impl StandardScaler {
    /// Learns the spread of every column. Cells that are not stored count as zeros.
    ///
    /// # Errors
    /// [`Error::Memory`], and what `control` returns.
    pub fn fit(matrix: &CsrMatrix, control: &dyn Control) -> Result<Self> {
        Self::fit_each(matrix, matrix.rows() as f64, |_| 1.0, control)
    }

    /// Learns from rows that stand for several each: row `i` counts `weights[i]` times.
    ///
    /// # Errors
    /// As [`Self::fit`].
    ///
    /// # Panics
    /// If there are fewer weights than rows.
    pub fn fit_weighted(matrix: &CsrMatrix, weights: &[u64], control: &dyn Control) -> Result<Self> {
        Self::fit_each(matrix, weights.iter().sum::<u64>() as f64, |row| weights[row] as f64, control)
    }

    fn fit_each(
        matrix: &CsrMatrix,
        rows: f64,
        weight: impl Fn(usize) -> f64,
        control: &dyn Control,
    ) -> Result<Self> {
        let seen = columns_of(matrix, control)?;
        let mut moments = vec![Moments::default(); seen.len()];
        for_each_cell(matrix, &seen, control, |row, column, value| {
            moments[column].sum += weight(row) * value;
            moments[column].cells += weight(row);
        })?;
        for column in &mut moments {
            column.mean = column.sum / rows;
        }
        for_each_cell(matrix, &seen, control, |row, column, value| {
            let difference = value - moments[column].mean;
            moments[column].correction += weight(row) * difference;
            moments[column].squares += weight(row) * difference * difference;
        })?;
        let scaled = |(&column, moments): (&u32, &Moments)| {
            let deviation = moments.deviation(rows)?;
            Some(ColumnScale { factor: 1.0 / deviation, column, unused: 0 })
        };
        Ok(StandardScaler { columns: seen.iter().zip(&moments).filter_map(scaled).collect() })
    }

    /// The scales, ascending by column.
    pub fn columns(&self) -> &[ColumnScale] {
        &self.columns
    }

    /// Every row scaled.
    ///
    /// # Errors
    /// [`Error::Memory`], as [`scale`], and what `control` returns.
    pub fn transform(&self, matrix: &CsrMatrix, control: &dyn Control) -> Result<CsrMatrix> {
        check_memory(matrix.bytes(), control)?;
        let mut out = CsrMatrix::new(matrix.dim);
        for_each_row(matrix, control, |row| out.push(scale(&self.columns, row)?.as_ref()))?;
        Ok(out)
    }
}

/// `row` with every component multiplied with its column's factor, rounded to float4.
///
/// # Errors
/// [`Error::VectorOverflow`] if a component does not fit float4.
pub fn scale(columns: &[ColumnScale], row: SparseRef<'_>) -> Result<SparseVec> {
    let mut out = SparseVec { dim: row.dim, indices: Vec::new(), values: Vec::new() };
    out.indices.reserve_exact(row.nnz());
    out.values.reserve_exact(row.nnz());
    let mut rest = columns;
    for (&index, &value) in row.indices.iter().zip(row.values) {
        rest = &rest[rest.partition_point(|scale| scale.column < index)..];
        let factor = rest.first().filter(|scale| scale.column == index).map_or(1.0, |scale| scale.factor);
        let scaled = (f64::from(value) * factor) as f32;
        if !scaled.is_finite() {
            return Err(Error::VectorOverflow(index + 1));
        }
        if scaled != 0.0 {
            out.indices.push(index);
            out.values.push(scaled);
        }
    }
    Ok(out)
}

/// What the two passes gather about one column, zeros left out.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    cells: f64,
    sum: f64,
    mean: f64,
    correction: f64,
    squares: f64,
}

impl Moments {
    /// Population standard deviation over `rows`; `None` for a constant.
    fn deviation(&self, rows: f64) -> Option<f64> {
        let zeros = rows - self.cells;
        let (mut correction, mut squares) = (self.correction, self.squares);
        if zeros != 0.0 {
            correction -= zeros * self.mean;
            squares += zeros * self.mean * self.mean;
        }
        let variance = (squares - correction * correction / rows) / rows;
        let error = rows * self.mean * f64::EPSILON;
        let is_constant = variance <= rows * f64::EPSILON * variance + error * error;
        (!is_constant).then(|| variance.sqrt())
    }
}

/// The columns that have a cell, ascending.
fn columns_of(matrix: &CsrMatrix, control: &dyn Control) -> Result<Vec<u32>> {
    let most = matrix.indices.len().min(matrix.dim as usize) as u64;
    // A set of columns doubles while it grows; then moments and scales take its place.
    check_memory(most * (size_of::<Moments>() + size_of::<ColumnScale>()) as u64, control)?;
    let mut columns = HashSet::with_hasher(foldhash::fast::FixedState::default());
    for_each_row(matrix, control, |row| {
        columns.extend(row.indices);
        Ok(())
    })?;
    let mut columns: Vec<u32> = columns.into_iter().collect();
    columns.sort_unstable();
    Ok(columns)
}

fn check_memory(needed: u64, control: &dyn Control) -> Result<()> {
    let allowed = control.memory();
    if needed > allowed {
        return Err(Error::Memory { what: "standardising", needed, allowed });
    }
    Ok(())
}

/// Calls `visit` with each cell's row, the position of its column among `columns`, and its value, in row order.
fn for_each_cell(
    matrix: &CsrMatrix,
    columns: &[u32],
    control: &dyn Control,
    mut visit: impl FnMut(usize, usize, f64),
) -> Result<()> {
    let mut at = 0;
    for_each_row(matrix, control, |row| {
        let mut from = 0;
        for (&index, &value) in row.indices.iter().zip(row.values) {
            from += columns[from..].partition_point(|&column| column < index);
            visit(at, from, f64::from(value));
        }
        at += 1;
        Ok(())
    })
}

/// Calls `visit` with each row, and polls in between.
fn for_each_row(
    matrix: &CsrMatrix,
    control: &dyn Control,
    mut visit: impl FnMut(SparseRef<'_>) -> Result<()>,
) -> Result<()> {
    let mut cells = POLL;
    for i in 0..matrix.rows() {
        let row = matrix.row(i);
        cells += row.nnz() + 1;
        if cells >= POLL {
            control.poll()?;
            cells = 0;
        }
        visit(row)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Unattended;

    fn matrix(rows: &[&str]) -> CsrMatrix {
        let rows: Vec<SparseVec> = rows.iter().map(|row| row.parse().unwrap()).collect();
        let mut matrix = CsrMatrix::new(rows[0].dim);
        for row in &rows {
            matrix.push(row.as_ref()).unwrap();
        }
        matrix
    }

    /// The expected numbers are printed by scikit-learn 1.6.1; `tests/oracle/standard_scaler.py` makes them.
    #[test]
    fn scales_are_those_of_scikit_learn() {
        let oracle = include_str!("../tests/data/standard_scaler.txt");
        let mut cases = 0;
        for case in oracle.split("case ").skip(1) {
            let lines: Vec<&str> = case.lines().skip(1).collect();
            let input: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("in ")).collect();
            let output: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("out ")).collect();
            let matrix = matrix(&input);
            let fitted = StandardScaler::fit(&matrix, &Unattended).unwrap();
            let scaled = fitted.transform(&matrix, &Unattended).unwrap();
            let written: Vec<String> = (0..scaled.rows()).map(|i| scaled.row(i).to_string()).collect();
            assert_eq!(written, output, "case {}", case.lines().next().unwrap());
            cases += 1;
        }
        assert!(cases >= 6);
    }

    #[test]
    fn no_rows_scale_nothing() {
        let fitted = StandardScaler::fit(&CsrMatrix::new(5), &Unattended).unwrap();
        let row: SparseVec = "{2:3}/5".parse().unwrap();
        assert_eq!(scale(fitted.columns(), row.as_ref()), Ok(row));
    }

    #[test]
    fn memory_is_bounded_before_it_is_taken() {
        struct Tight;
        impl Control for Tight {
            fn memory(&self) -> u64 {
                10
            }
        }
        let matrix = matrix(&["{1:1,2:2}/3"]);
        assert!(matches!(StandardScaler::fit(&matrix, &Tight), Err(Error::Memory { .. })));
    }
}
