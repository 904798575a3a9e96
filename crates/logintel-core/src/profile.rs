//! Profiles: a baseline of its own for a component, a level, a source.
//!
//! One limit for a whole log lets its chattiest component decide: where one in sixty lines of the kernel is new,
//! a new line of the mailer must be stranger than those to be flagged, though the mailer never says anything new.
//! So the rows of history fall into profiles, each calibrated on its own rows alone (Mondrian conformal prediction,
//! Vovk, Lindsay, Nouretdinov and Gammerman 2003): the rate that was asked for holds in each of them, and a score
//! says the same in each.
//!
//! Every line is decided by exactly one profile, or the rates of several would add up. It is the first of these whose values
//! history has in rows enough: those of all columns together; that of the first column; of the second; …; the rest. What
//! decides a row of training decides an equal line later, and it is the rows that a profile decides that calibrate it: the
//! limit of a component is that of its rows at rare levels, where frequent levels have profiles of their own. Where
//! those are fewer than a profile needs, all rows with its values stand for them if theirs is the lower limit: what is left
//! over of many rare components is often new, and a limit made of that alone would hide what is news.
//!
//! Beside its limit a profile knows its templates. A template that others write and this profile never did is
//! strange to it, less so than one that nobody ever wrote ([`SEEN_ELSEWHERE`]). Held-back rows are measured by the
//! same rule, so that such lines are flagged where they are within the rate, and nowhere else.

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use hashbrown::HashTable;

use crate::calibration::Calibration;
use crate::config::Column;
use crate::control::{Control, Steps};
use crate::error::Result;
use crate::line::Line;
use crate::sort::sort_watched;
use crate::table::HASHER;

/// Most profiles of a model; the most frequent ones, where history would make more.
pub const MAX_PROFILES: usize = 1000;
/// Rows that a profile's calibration must let pass its limit at the rate that is asked for. So many tell the limit to a third:
/// a count of ten has a standard deviation of three.
pub const ENOUGH_BEYOND: f64 = 10.0;
/// Most bytes of a value that are looked at, as many as an anomaly keeps of it.
pub const MAX_VALUE: usize = 256;
/// Most combinations of values in history. Columns with more tell no kinds of lines, and there are no profiles: some that
/// leave out the values that came late would be calibrated on other rows than they decide.
const MAX_GROUPS: usize = 1 << 16;
/// Most pairs of a message and such a combination, likewise.
const MAX_CELLS: usize = 1 << 20;
/// Strangeness of a template that training saw, but never in the profile; of one seen in it, it is none.
pub(crate) const SEEN_ELSEWHERE: f64 = 0.5;
/// The number of the profile of all lines that have no other.
pub(crate) const REST: u32 = 0;

/// The values that bring a line into a profile.
pub type Key = Vec<(Column, String)>;

/// What is ordinary for the lines that a profile decides.
#[derive(Debug, Clone, Default, PartialEq, bincode::Encode, bincode::Decode)]
pub struct Profile {
    /// The values of its lines; none for the rest.
    pub key: Key,
    /// Rows of training that it decides.
    pub rows: u64,
    /// Share of these that the model itself would flag.
    pub flagged_share: f64,
    /// How strange they are when held back; where they are too few, how strange all rows with its values are.
    pub calibration: Calibration,
    /// Templates that occur with its values, ascending; of the rest none are kept.
    pub templates: Vec<u32>,
}

impl Profile {
    /// Whether this is the one of all lines that have no other.
    pub fn is_rest(&self) -> bool {
        self.key.is_empty()
    }

    /// Strangeness of a template of training for being of other profiles alone.
    pub(crate) fn strangeness_of(&self, template: u32) -> f64 {
        let is_own = self.is_rest() || self.templates.binary_search(&template).is_ok();
        if is_own { 0.0 } else { SEEN_ELSEWHERE }
    }

    /// What the rest of the code relies on, where there are so many templates.
    pub(crate) fn is_valid(&self, templates: usize) -> bool {
        self.calibration.is_valid()
            && self.templates.is_sorted_by(|a, b| a < b)
            && self.templates.last().is_none_or(|&last| (last as usize) < templates)
    }

    /// Estimated bytes in use.
    pub(crate) fn bytes(&self) -> usize {
        let key: usize = self.key.iter().map(|(_, value)| value.len() + 32).sum();
        128 + key + self.templates.len() * 4 + self.calibration.bytes()
    }
}

/// As `component=kernel, level=INFO`; nothing for the rest.
impl std::fmt::Display for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, (column, value)) in self.key.iter().enumerate() {
            write!(f, "{}{column}={value}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// The part of a value that is looked at.
fn head(value: &str) -> &str {
    &value[..value.floor_char_boundary(MAX_VALUE)]
}

/// The columns of possible profiles, those that decide first in front.
fn stages(columns: &[Column]) -> Vec<Vec<Column>> {
    let all = (columns.len() > 1).then(|| columns.to_vec());
    all.into_iter().chain(columns.iter().map(|&column| vec![column])).collect()
}

/// Hash of the values of a line in some columns; `None` if it has not all of them.
fn hash(columns: &[Column], line: &Line<'_>) -> Option<u64> {
    columns.iter().try_fold(columns.len() as u64, |hash, &column| {
        Some(HASHER.hash_one((hash, column as u8, head(line.value(column)?))))
    })
}

/// Finds the profile that decides a line.
#[derive(Debug)]
pub(crate) struct Finder {
    stages: Vec<Vec<Column>>,
    /// Numbers of profiles, by the hash of their values.
    table: HashTable<u32>,
}

impl Finder {
    pub fn new(columns: &[Column], profiles: &[Profile]) -> Self {
        let mut table = HashTable::with_capacity(profiles.len());
        let hash_of = |&at: &u32| {
            let key = &profiles[at as usize].key;
            let columns: Vec<Column> = key.iter().map(|(column, _)| *column).collect();
            hash(&columns, &line_of(key)).unwrap_or_default()
        };
        for at in (0..profiles.len() as u32).filter(|&at| at != REST) {
            table.insert_unique(hash_of(&at), at, hash_of);
        }
        let stages = if table.is_empty() { Vec::new() } else { stages(columns) };
        Finder { stages, table }
    }

    /// The number of the profile that decides a line.
    #[inline]
    pub fn find(&self, profiles: &[Profile], line: &Line<'_>) -> u32 {
        let of_stage = |columns: &Vec<Column>| {
            let same = |&at: &u32| {
                let key = &profiles[at as usize].key;
                let has = |(column, value): &(Column, String)| line.value(*column).map(head) == Some(value);
                key.len() == columns.len() && key.iter().all(has)
            };
            self.table.find(hash(columns, line)?, same).copied()
        };
        self.stages.iter().find_map(of_stage).unwrap_or(REST)
    }
}

/// A line that has the values of a key.
fn line_of(key: &Key) -> Line<'_> {
    let value = |column| key.iter().find(|(other, _)| *other == column).map(|(_, value)| value.as_str());
    Line {
        component: value(Column::Component),
        level: value(Column::Level),
        source: value(Column::Source),
        ..Line::default()
    }
}

/// Rows of one message, later of one template, and one group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    pub message: u32,
    pub group: u32,
    pub rows: u64,
    /// Rows that the level alone flags.
    pub error_rows: u64,
    /// Rows that pass because a person has marked them.
    pub marked_rows: u64,
    /// Folds of the calibration that it occurs in, as bits.
    pub folds: u16,
}

impl Cell {
    /// Rows that tell what is ordinary.
    pub fn ordinary(&self) -> u64 {
        self.rows - self.error_rows
    }

    /// Rows that only a model can judge.
    pub fn open_rows(&self) -> u64 {
        self.rows - self.error_rows - self.marked_rows
    }
}

/// Counts rows by message and by the values of their columns.
#[derive(Debug)]
pub(crate) struct Tally {
    columns: Vec<Column>,
    /// Values of each group, in order of first occurrence. The first has none, and is that of rows that are not told apart.
    groups: Vec<Vec<Option<String>>>,
    group_table: HashTable<u32>,
    cells: Vec<Cell>,
    table: HashTable<u32>,
    /// Whether there are more groups or cells than there may be.
    is_full: bool,
    bytes: u64,
}

impl Tally {
    pub fn new(columns: &[Column]) -> Self {
        Tally {
            columns: columns.to_vec(),
            groups: vec![vec![None; columns.len()]],
            group_table: HashTable::new(),
            cells: Vec::new(),
            table: HashTable::new(),
            is_full: false,
            bytes: 0,
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Counts a row of a message in a fold.
    pub fn add(&mut self, message: u32, line: &Line<'_>, fold: u32, is_error: bool) {
        // Of group 0 there are at most as many cells as messages.
        self.is_full |= self.cells.len() >= MAX_CELLS;
        let group = self.group(line);
        let error_rows = u64::from(is_error);
        let cell = Cell { message, group, rows: 1, error_rows, marked_rows: 0, folds: 1 << fold };
        self.merge(cell);
    }

    fn group(&mut self, line: &Line<'_>) -> u32 {
        let values = |at: usize| line.value(self.columns[at]).map(head);
        if self.is_full || (0..self.columns.len()).all(|at| values(at).is_none()) {
            return 0;
        }
        let hash = (0..self.columns.len()).fold(0, |hash, at| HASHER.hash_one((hash, values(at))));
        let same = |&group: &u32| {
            let group = &self.groups[group as usize];
            (0..group.len()).all(|at| group[at].as_deref() == values(at))
        };
        if let Some(&group) = self.group_table.find(hash, same) {
            return group;
        }
        if self.groups.len() >= MAX_GROUPS {
            self.is_full = true;
            return 0;
        }
        let group: Vec<Option<String>> =
            (0..self.columns.len()).map(|at| values(at).map(str::to_owned)).collect();
        self.bytes +=
            group.iter().map(|value| 32 + value.as_ref().map_or(0, String::len) as u64).sum::<u64>();
        let number = self.groups.len() as u32;
        self.groups.push(group);
        let groups = &self.groups;
        self.group_table.insert_unique(hash, number, |&group| {
            groups[group as usize].iter().fold(0, |hash, value| HASHER.hash_one((hash, value.as_deref())))
        });
        number
    }

    /// Adds the rows of a cell to those of the same message and group.
    fn merge(&mut self, cell: Cell) {
        let hash = |cell: &Cell| HASHER.hash_one((cell.message, cell.group));
        let same = |&at: &u32| {
            let other = &self.cells[at as usize];
            (other.message, other.group) == (cell.message, cell.group)
        };
        if let Some(&at) = self.table.find(hash(&cell), same) {
            let held = &mut self.cells[at as usize];
            held.rows += cell.rows;
            held.error_rows += cell.error_rows;
            held.marked_rows += cell.marked_rows;
            held.folds |= cell.folds;
            return;
        }
        let at = self.cells.len() as u32;
        self.cells.push(cell);
        // With its places in four profiles, while these are calibrated.
        self.bytes += 256;
        let cells = &self.cells;
        self.table.insert_unique(hash(&cell), at, |&at| hash(&cells[at as usize]));
    }

    /// The profiles that history makes, the rest first, where so many ordinary rows are enough for one.
    pub fn profiles(&self, enough: f64, control: &dyn Control) -> Result<Choice> {
        let mut steps = Steps::new(control);
        let mut ordinary = vec![0u64; self.groups.len()];
        for cell in &self.cells {
            steps.pass(1)?;
            ordinary[cell.group as usize] += cell.ordinary();
        }
        let mut choice = Choice { keys: vec![Key::new()], of_group: vec![Vec::new(); self.groups.len()] };
        let stages = if self.is_full { Vec::new() } else { stages(&self.columns) };
        for columns in stages {
            let mut found: BTreeMap<Vec<&str>, (u64, Vec<usize>)> = BTreeMap::new();
            for (group, &rows) in ordinary.iter().enumerate() {
                steps.pass(1)?;
                let values = columns.iter().map(|&column| self.value(group, column)).collect();
                if let Some(values) = values {
                    let (sum, groups) = found.entry(values).or_default();
                    *sum += rows;
                    groups.push(group);
                }
            }
            let mut found: Vec<_> = found.into_iter().filter(|(_, (sum, _))| *sum as f64 >= enough).collect();
            // Stable: of equally frequent ones, the first by value.
            found.sort_by_key(|(_, (sum, _))| std::cmp::Reverse(*sum));
            found.truncate(MAX_PROFILES - choice.keys.len());
            for (values, (_, groups)) in found {
                let number = choice.keys.len() as u32;
                for group in groups {
                    choice.of_group[group].push(number);
                }
                choice
                    .keys
                    .push(columns.iter().copied().zip(values.into_iter().map(str::to_owned)).collect());
            }
        }
        Ok(choice)
    }

    /// The value of a group in one of the columns.
    fn value(&self, group: usize, column: Column) -> Option<&str> {
        let at = self.columns.iter().position(|&other| other == column)?;
        self.groups[group][at].as_deref()
    }

    /// Lets all rows of some messages pass, told by their numbers.
    pub fn mark(&mut self, marked: &[bool]) {
        for cell in self.cells.iter_mut().filter(|cell| marked[cell.message as usize]) {
            (cell.error_rows, cell.marked_rows) = (0, cell.rows);
        }
    }

    /// Gives each cell the number of its template in place of its message's.
    pub fn renumber(&mut self, template_of: &[u32], control: &dyn Control) -> Result<()> {
        let mut steps = Steps::new(control);
        self.table.clear();
        for mut cell in std::mem::take(&mut self.cells) {
            steps.pass(1)?;
            cell.message = template_of[cell.message as usize];
            self.merge(cell);
        }
        Ok(())
    }

    /// The cells.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }
}

/// Which groups have a profile's values.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    /// Of each profile.
    pub keys: Vec<Key>,
    /// Profiles of each group, the one that decides in front.
    of_group: Vec<Vec<u32>>,
}

impl Choice {
    /// The profiles whose values a cell has, the one that decides in front and the rest at the end.
    pub fn of(&self, cell: &Cell) -> impl Iterator<Item = u32> {
        self.of_group[cell.group as usize].iter().copied().chain(std::iter::once(REST))
    }

    /// The one that decides.
    pub fn deciding(&self, cell: &Cell) -> u32 {
        self.of_group[cell.group as usize].first().copied().unwrap_or(REST)
    }
}

/// The templates of each profile but the rest, and the folds that each occurs in there.
#[derive(Debug)]
pub(crate) struct Occurrences(Vec<Vec<(u32, u16)>>);

impl Occurrences {
    pub fn new(tally: &Tally, choice: &Choice, control: &dyn Control) -> Result<Self> {
        let mut steps = Steps::new(control);
        let mut all = Vec::new();
        for cell in tally.cells() {
            steps.pass(1)?;
            let profiles = choice.of(cell).filter(|&profile| profile != REST);
            all.extend(profiles.map(|profile| (profile, cell.message, cell.folds)));
        }
        sort_watched(&mut all, Ord::cmp, control)?;
        let mut occurrences: Vec<Vec<(u32, u16)>> = vec![Vec::new(); choice.keys.len()];
        for (profile, template, folds) in all {
            steps.pass(1)?;
            let templates = &mut occurrences[profile as usize];
            match templates.last_mut() {
                Some(last) if last.0 == template => last.1 |= folds,
                _ => templates.push((template, folds)),
            }
        }
        Ok(Occurrences(occurrences))
    }

    /// Templates of a profile, ascending.
    pub fn templates(&self, profile: u32) -> Vec<u32> {
        self.0[profile as usize].iter().map(|&(template, _)| template).collect()
    }

    /// Strangeness of held-back rows of a template for being of other profiles alone: a model without the only fold in
    /// which this profile has it knows it from others, if at all.
    pub fn strangeness_of(&self, profile: u32, template: u32) -> f64 {
        let templates = &self.0[profile as usize];
        let folds = templates.binary_search_by_key(&template, |&(other, _)| other).map(|at| templates[at].1);
        if folds.is_ok_and(u16::is_power_of_two) { SEEN_ELSEWHERE } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::baseline::{Baseline, Trainer};
    use crate::config::DetectorOptions;
    use crate::control::{Unattended, Watch};

    const ALL: [Column; 3] = [Column::Component, Column::Level, Column::Source];

    fn line([component, level, source]: [Option<&str>; 3]) -> Line<'_> {
        Line { message: "message", component, level, source, ..Line::default() }
    }

    fn trained(columns: &[Column], lines: &[Line<'_>]) -> Baseline {
        // Twenty rows are enough.
        let options = DetectorOptions {
            profiles: columns.to_vec(),
            false_alarm_rate: 0.5,
            ..DetectorOptions::default()
        };
        let mut trainer = Trainer::new(&options, u64::MAX, Watch::default()).unwrap();
        for line in lines {
            trainer.add(line).unwrap();
        }
        trainer.finish(&Unattended).unwrap()
    }

    fn names(baseline: &Baseline) -> Vec<(String, u64)> {
        baseline.profiles.iter().map(|profile| (profile.to_string(), profile.rows)).collect()
    }

    fn of(count: usize, values: [Option<&'static str>; 3]) -> impl Iterator<Item = Line<'static>> {
        std::iter::repeat_n(line(values), count)
    }

    #[test]
    fn the_closest_profile_with_rows_enough_decides() {
        let lines: Vec<Line<'_>> = of(20, [Some("a"), Some("info"), None])
            .chain(of(19, [Some("a"), Some("warn"), None]))
            .chain(of(1, [Some("a"), None, None]))
            .chain(of(10, [Some("b"), Some("info"), None]))
            .chain(of(10, [Some("c"), Some("info"), None]))
            .chain(of(19, [Some("d"), Some("debug"), None]))
            .collect();
        let baseline = trained(&[Column::Component, Column::Level], &lines);
        let expected = [("", 19), ("component=a, level=info", 20), ("component=a", 20), ("level=info", 20)];
        assert_eq!(names(&baseline), expected.map(|(name, rows)| (name.to_owned(), rows)));
        let finder = Finder::new(&[Column::Component, Column::Level], &baseline.profiles);
        for (values, expected) in [
            ([Some("a"), Some("info"), None], 1),
            ([Some("a"), Some("fatal"), Some("x")], 2),
            ([Some("a"), None, None], 2),
            ([Some("z"), Some("info"), None], 3),
            ([Some("d"), Some("debug"), None], 0),
            ([Some("info"), Some("a"), None], 0),
            ([None, None, Some("a")], 0),
        ] {
            assert_eq!(finder.find(&baseline.profiles, &line(values)), expected, "{values:?}");
        }
    }

    #[test]
    fn the_order_of_columns_decides_and_none_make_no_profiles() {
        let lines: Vec<Line<'_>> = of(15, [Some("a"), Some("info"), None])
            .chain(of(10, [Some("b"), Some("info"), None]))
            .chain(of(10, [Some("a"), Some("warn"), None]))
            .collect();
        let by = |columns: &[Column]| -> Vec<(String, u64)> { names(&trained(columns, &lines)) };
        let named = |expected: &[(&str, u64)]| -> Vec<(String, u64)> {
            expected.iter().map(|&(name, rows)| (name.to_owned(), rows)).collect()
        };
        let (component, level) = (Column::Component, Column::Level);
        assert_eq!(by(&[component, level]), named(&[("", 0), ("component=a", 25), ("level=info", 10)]));
        assert_eq!(by(&[level, component]), named(&[("", 0), ("level=info", 25), ("component=a", 10)]));
        assert_eq!(by(&[level]), named(&[("", 10), ("level=info", 25)]));
        assert_eq!(by(&[Column::Source]), named(&[("", 35)]));
        assert_eq!(by(&[]), named(&[("", 35)]));
    }

    #[test]
    fn a_profile_knows_all_rows_with_its_values() {
        let known = Line { message: "only as info", ..line([Some("a"), Some("info"), None]) };
        let lines: Vec<Line<'_>> = std::iter::repeat_n(known, 40)
            .chain(of(1, [Some("a"), Some("warn"), None]))
            .chain(of(10, [Some("b"), Some("warn"), None]))
            .collect();
        let baseline = trained(&[Column::Component, Column::Level], &lines);
        let expected = [("", 10), ("component=a, level=info", 40), ("component=a", 1), ("level=info", 0)];
        assert_eq!(names(&baseline), expected.map(|(name, rows)| (name.to_owned(), rows)));
        let templates: Vec<&[u32]> = baseline.profiles.iter().map(|profile| &profile.templates[..]).collect();
        assert_eq!(templates, [&[][..], &[0], &[0, 1], &[0]]);
        // One row, or none, tells nothing of the rate of two.
        let rows: Vec<u64> = baseline.profiles.iter().map(|profile| profile.calibration.rows()).collect();
        assert_eq!(rows, [10, 40, 41, 40]);
    }

    #[test]
    fn values_are_compared_as_far_as_an_anomaly_keeps_them() {
        let long = "é".repeat(MAX_VALUE);
        let lines = vec![line([Some(&long), None, None]); 20];
        let baseline = trained(&[Column::Component], &lines);
        assert_eq!(baseline.profiles[1].key, [(Column::Component, "é".repeat(MAX_VALUE / 2))]);
        let finder = Finder::new(&[Column::Component], &baseline.profiles);
        let other = format!("{long}x");
        assert_eq!(finder.find(&baseline.profiles, &line([Some(&other), None, None])), 1);
    }

    #[test]
    fn columns_with_too_many_values_make_no_profiles() {
        let count = |values: usize| {
            let mut tally = Tally::new(&[Column::Component, Column::Source]);
            for number in 0..values {
                tally.add(0, &line([Some("a"), None, Some(&number.to_string())]), 0, false);
            }
            (tally.profiles(20.0, &Unattended).unwrap().keys.len(), tally.cells().len())
        };
        assert_eq!(count(MAX_GROUPS - 1), (2, MAX_GROUPS - 1));
        assert_eq!(count(MAX_GROUPS + 5), (1, MAX_GROUPS));
    }

    #[test]
    fn the_most_frequent_are_kept() {
        let mut tally = Tally::new(&[Column::Component]);
        for number in 0..2 * MAX_PROFILES {
            for _ in 0..=(number % 2) {
                tally.add(0, &line([Some(&format!("{number:04}")), None, None]), 0, false);
            }
        }
        let Choice { keys, of_group } = tally.profiles(1.0, &Unattended).unwrap();
        assert_eq!(keys.len(), MAX_PROFILES);
        let last = (Column::Component, format!("{:04}", 2 * MAX_PROFILES - 3));
        assert_eq!(keys[MAX_PROFILES - 1], [last]);
        // Group 0 is that of rows without values.
        assert_eq!(of_group[..3], [vec![], vec![], vec![1]]);
    }

    proptest! {
        #[test]
        fn each_row_is_counted_where_it_is_judged(
            rows in prop::collection::vec(prop::array::uniform3(prop::option::weighted(0.8, "[ab]")), 1..200),
            columns in prop::sample::subsequence(ALL.to_vec(), 0..=3).prop_shuffle(),
        ) {
            let lines: Vec<Line<'_>> =
                rows.iter().map(|row| line(row.each_ref().map(|value| value.as_deref()))).collect();
            let baseline = trained(&columns, &lines);
            let finder = Finder::new(&columns, &baseline.profiles);
            let mut counted = vec![0; baseline.profiles.len()];
            for line in &lines {
                counted[finder.find(&baseline.profiles, line) as usize] += 1;
            }
            let kept: Vec<u64> = baseline.profiles.iter().map(|profile| profile.rows).collect();
            prop_assert_eq!(&counted, &kept);
            // Values have a profile if they are those of twenty rows.
            for columns in stages(&columns) {
                let of = |line: &Line<'_>| columns.iter().map(|&column| Some((column, line.value(column)?.to_owned()))).collect();
                let keys: Vec<Option<Key>> = lines.iter().map(of).collect();
                for key in keys.iter().flatten() {
                    let rows = keys.iter().filter(|other| other.as_ref() == Some(key)).count();
                    prop_assert_eq!(baseline.profiles.iter().any(|profile| profile.key == *key), rows >= 20);
                }
            }
            prop_assert_eq!(trained(&columns, &lines), baseline);
        }
    }
}
