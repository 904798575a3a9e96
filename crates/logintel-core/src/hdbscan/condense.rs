//! From the spanning tree to clusters: order its edges, condense the hierarchy, choose by excess of mass.
//!
//! Rows are visited in Prim's order, in which every part of the hierarchy is a range of positions: below any
//! height the visit stays within a part until all of it was seen. So the hierarchy needs no more than the weights
//! between neighbours in that order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use super::argsort::argsort;
use super::{NONE, SpanningTree};
use crate::control::{Control, STEPS_BETWEEN_POLLS, Steps};
use crate::error::Result;

/// The cluster of each distinct row, given the distinct row of each row.
pub(super) fn labels(
    tree: &SpanningTree,
    row_of: &[u32],
    min_cluster_size: u32,
    control: &dyn Control,
) -> Result<Vec<Option<u32>>> {
    let visit = visit(tree, row_of, control)?;
    control.progress("hierarchy", 0, 0);
    let order = argsort(&visit.reached, control)?;
    let hierarchy = Hierarchy::new(&visit.reached, &order, control)?;
    let (clusters, own) = hierarchy.condense(min_cluster_size, control)?;
    let chosen = choose(clusters);
    let chosen = |position: usize| chosen[own[position] as usize];
    let mut labels = of_most_copies(&visit.rows, tree.core.len(), chosen, control)?;
    number_by_first_row(&mut labels);
    Ok(labels)
}

/// The cluster that most copies of each row are in, the lowest of several.
fn of_most_copies(
    rows: &[u32],
    count: usize,
    cluster: impl Fn(usize) -> Option<u32>,
    control: &dyn Control,
) -> Result<Vec<Option<u32>>> {
    let clusters = (0..).zip(rows).map(|(at, &row)| (row, cluster(at)));
    let mut of_copies: Lists<Option<u32>> = Lists::new(count, clusters, control)?;
    let mut steps = Steps::new(control);
    let mut chosen = Vec::with_capacity(count);
    for row in 0..count as u32 {
        let copies = of_copies.of_mut(row);
        steps.pass(1 + copies.len())?;
        copies.sort_unstable();
        let mut most: &[Option<u32>] = &[];
        for same in copies.chunk_by(|a, b| a == b) {
            if same.len() > most.len() {
                most = same;
            }
        }
        chosen.push(most.first().copied().flatten());
    }
    Ok(chosen)
}

fn number_by_first_row(labels: &mut [Option<u32>]) {
    let mut number = vec![NONE; labels.iter().flatten().max().map_or(0, |&most| most as usize + 1)];
    let mut count = 0;
    for label in labels.iter_mut().flatten() {
        let slot = &mut number[*label as usize];
        if *slot == NONE {
            *slot = count;
            count += 1;
        }
        *label = *slot;
    }
}

/// Rows, copies each on their own, in Prim's order.
struct Visit {
    /// The distinct row at each position.
    rows: Vec<u32>,
    /// Weight of the edge by which each row but the first was reached.
    reached: Vec<f64>,
}

/// Lists of numbers, one after another.
struct Lists<T> {
    starts: Vec<usize>,
    all: Vec<T>,
}

impl<T: Copy + Default> Lists<T> {
    /// `count` lists of the entries, each of which says which list it goes to.
    fn new(
        count: usize,
        entries: impl Iterator<Item = (u32, T)> + Clone,
        control: &dyn Control,
    ) -> Result<Self> {
        let mut steps = Steps::new(control);
        let mut starts = vec![0usize; count + 1];
        for (list, _) in entries.clone() {
            steps.pass(1)?;
            starts[list as usize + 1] += 1;
        }
        for list in 1..=count {
            starts[list] += starts[list - 1];
        }
        let mut next = starts.clone();
        let mut all = vec![T::default(); starts[count]];
        for (list, entry) in entries {
            steps.pass(1)?;
            all[next[list as usize]] = entry;
            next[list as usize] += 1;
        }
        Ok(Lists { starts, all })
    }

    fn of(&self, list: u32) -> &[T] {
        &self.all[self.starts[list as usize]..self.starts[list as usize + 1]]
    }

    fn of_mut(&mut self, list: u32) -> &mut [T] {
        &mut self.all[self.starts[list as usize]..self.starts[list as usize + 1]]
    }
}

/// Begins at the first row and goes to the nearest row not yet seen, the lowest of several. The edges are those of
/// the tree, and between copies of a row.
fn visit(tree: &SpanningTree, row_of: &[u32], control: &dyn Control) -> Result<Visit> {
    let count = tree.core.len();
    let ends =
        |edge: &super::Edge| [(edge.low, (edge.weight, edge.high)), (edge.high, (edge.weight, edge.low))];
    let neighbors: Lists<(f64, u32)> = Lists::new(count, tree.edges.iter().flat_map(ends), control)?;
    let copies: Lists<u32> = Lists::new(count, row_of.iter().copied().zip(0u32..), control)?;
    let mut seen = vec![0usize; count];
    let mut visit =
        Visit { rows: Vec::with_capacity(row_of.len()), reached: Vec::with_capacity(row_of.len()) };
    // Weights are not negative, so their bits order like them.
    let mut near = BinaryHeap::from([Reverse((0, 0))]);
    while let Some(Reverse((bits, copy))) = near.pop() {
        if visit.rows.len().is_multiple_of(STEPS_BETWEEN_POLLS) {
            control.poll()?;
        }
        let row = row_of[copy as usize];
        if seen[row as usize] == 0 {
            for &(weight, to) in neighbors.of(row).iter().filter(|(_, to)| seen[*to as usize] == 0) {
                near.push(Reverse((weight.to_bits(), copies.of(to)[0])));
            }
        }
        seen[row as usize] += 1;
        if let Some(&next) = copies.of(row).get(seen[row as usize]) {
            near.push(Reverse((tree.copies[row as usize].to_bits(), next)));
        }
        visit.rows.push(row);
        visit.reached.push(f64::from_bits(bits));
    }
    visit.reached.remove(0);
    Ok(visit)
}

/// Part of the hierarchy: positions that are together at some height.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// Positions `from..to`.
    from: u32,
    to: u32,
    /// The parts, which are nodes, into which it falls below its height; `NONE` for a row.
    parts: [u32; 2],
    height: f64,
}

impl Node {
    fn positions(&self) -> Range<usize> {
        self.from as usize..self.to as usize
    }

    fn size(&self) -> u32 {
        self.to - self.from
    }
}

struct Hierarchy(Vec<Node>);

/// A cluster of the condensed hierarchy.
#[derive(Debug, Clone, Copy)]
struct Cluster {
    parent: u32,
    /// Density at which it parts from its parent; density is the inverse of distance.
    birth: f64,
    /// Excess of mass.
    stability: f64,
}

impl Hierarchy {
    /// Joins neighbours in Prim's order, in the order given. The root comes last.
    fn new(reached: &[f64], order: &[u32], control: &dyn Control) -> Result<Self> {
        let count = reached.len() as u32 + 1;
        let mut nodes: Vec<Node> = Vec::with_capacity(2 * count as usize - 1);
        nodes.extend((0..count).map(|at| Node { from: at, to: at + 1, parts: [NONE; 2], height: 0.0 }));
        // The node of each range of positions, known at its first and its last position.
        let mut node_at: Vec<u32> = (0..count).collect();
        for (step, &at) in order.iter().enumerate() {
            if step % STEPS_BETWEEN_POLLS == 0 {
                control.poll()?;
            }
            let parts = [node_at[at as usize], node_at[at as usize + 1]];
            let [Node { from, .. }, Node { to, .. }] = parts.map(|part| nodes[part as usize]);
            let fresh = nodes.len() as u32;
            node_at[from as usize] = fresh;
            node_at[to as usize - 1] = fresh;
            nodes.push(Node { from, to, parts, height: reached[at as usize] });
        }
        Ok(Hierarchy(nodes))
    }

    /// Clusters, each after its parent, the whole first; and the cluster that each position leaves last.
    fn condense(&self, min_cluster_size: u32, control: &dyn Control) -> Result<(Vec<Cluster>, Vec<u32>)> {
        let root = self.0.len() as u32 - 1;
        let mut clusters = vec![Cluster { parent: NONE, birth: 0.0, stability: 0.0 }];
        let mut own = vec![0; self.0[root as usize].to as usize];
        let mut open = vec![(root, 0)];
        let mut steps = 0;
        while let Some((node, cluster)) = open.pop() {
            let mut node = self.0[node as usize];
            loop {
                steps += 1;
                if steps % STEPS_BETWEEN_POLLS == 0 {
                    control.poll()?;
                }
                let density = 1.0 / node.height;
                let leave = |this: &mut Cluster, size: u32| {
                    this.stability += (density - this.birth) * f64::from(size);
                };
                let this = &mut clusters[cluster as usize];
                // Rows at distance 0 of one another are never told apart.
                let large = if density.is_finite() {
                    node.parts.map(|part| self.0[part as usize].size() >= min_cluster_size)
                } else {
                    [false; 2]
                };
                match large {
                    [true, true] => {
                        leave(this, node.size());
                        for part in node.parts {
                            open.push((part, clusters.len() as u32));
                            clusters.push(Cluster { parent: cluster, birth: density, stability: 0.0 });
                        }
                        break;
                    }
                    [false, false] => {
                        leave(this, node.size());
                        own[node.positions()].fill(cluster);
                        break;
                    }
                    [left_stays, _] => {
                        let [left, right] = node.parts.map(|part| self.0[part as usize]);
                        let (stays, leaves) = if left_stays { (left, right) } else { (right, left) };
                        leave(this, leaves.size());
                        own[leaves.positions()].fill(cluster);
                        node = stays;
                    }
                }
            }
        }
        Ok((clusters, own))
    }
}

/// Which chosen cluster each cluster belongs to. One is chosen over those within it unless they have more excess of
/// mass together; the whole never is.
fn choose(mut clusters: Vec<Cluster>) -> Vec<Option<u32>> {
    let mut within = vec![0.0; clusters.len()];
    let mut candidate = vec![true; clusters.len()];
    candidate[0] = false;
    for i in (1..clusters.len()).rev() {
        if within[i] > clusters[i].stability {
            candidate[i] = false;
            clusters[i].stability = within[i];
        }
        within[clusters[i].parent as usize] += clusters[i].stability;
    }
    let mut chosen = vec![None; clusters.len()];
    for i in 1..clusters.len() {
        chosen[i] = chosen[clusters[i].parent as usize].or(candidate[i].then_some(i as u32));
    }
    chosen
}
