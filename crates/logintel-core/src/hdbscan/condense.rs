//! From the spanning tree to clusters: order its edges, condense the hierarchy, choose by excess of mass.
//!
//! Rows are visited in Prim's order, in which every part of the hierarchy is a range of positions: below any
//! height the visit stays within a part until all of it was seen. So the hierarchy needs no more than the weights
//! between neighbours in that order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use super::{NONE, SpanningTree};
use crate::control::Control;
use crate::error::Result;

/// Steps between two looks at the clock.
const STEPS_BETWEEN_POLLS: usize = 1 << 14;

/// Of more rows than this, and more equal edges than that, the edges join in scattered order.
const SCATTERED_ROWS: u64 = 256;
const SCATTERED_EDGES: usize = 16;

/// The cluster of each row.
pub(super) fn labels(
    tree: &SpanningTree,
    weights: &[u64],
    min_cluster_size: u64,
    control: &dyn Control,
) -> Result<Vec<Option<u32>>> {
    let visit = visit(tree, control)?;
    let hierarchy = Hierarchy::new(tree, weights, &visit, control)?;
    let (clusters, own) = hierarchy.condense(min_cluster_size, control)?;
    let chosen = choose(clusters);
    let mut label_of = vec![None; weights.len()];
    for (&row, &cluster) in visit.rows.iter().zip(&own) {
        label_of[row as usize] = chosen[cluster as usize];
    }
    // Number by first row.
    let mut number = vec![NONE; chosen.len()];
    let mut count = 0;
    Ok(label_of
        .into_iter()
        .map(|cluster: Option<u32>| {
            let slot = &mut number[cluster? as usize];
            if *slot == NONE {
                *slot = count;
                count += 1;
            }
            Some(*slot)
        })
        .collect())
}

/// Rows in Prim's order.
struct Visit {
    rows: Vec<u32>,
    /// Weight of the edge by which each row but the first was reached.
    reached: Vec<f64>,
}

/// Begins at row 0 and goes to the nearest row of the tree not yet seen, the lowest of several.
fn visit(tree: &SpanningTree, control: &dyn Control) -> Result<Visit> {
    let count = tree.core.len();
    let mut starts = vec![0usize; count + 1];
    for end in tree.edges.iter().flat_map(|edge| [edge.low, edge.high]) {
        starts[end as usize + 1] += 1;
    }
    for row in 1..=count {
        starts[row] += starts[row - 1];
    }
    let mut next = starts.clone();
    let mut neighbors = vec![(0.0, 0); 2 * tree.edges.len()];
    for edge in &tree.edges {
        for (from, to) in [(edge.low, edge.high), (edge.high, edge.low)] {
            neighbors[next[from as usize]] = (edge.weight, to);
            next[from as usize] += 1;
        }
    }
    let mut seen = vec![false; count];
    let mut order = Visit { rows: Vec::with_capacity(count), reached: Vec::with_capacity(count) };
    // Weights are not negative, so their bits order like them.
    let mut near = BinaryHeap::from([Reverse((0, 0))]);
    while let Some(Reverse((bits, row))) = near.pop() {
        if order.rows.len().is_multiple_of(STEPS_BETWEEN_POLLS) {
            control.poll()?;
        }
        seen[row as usize] = true;
        order.rows.push(row);
        order.reached.push(f64::from_bits(bits));
        for &(weight, to) in &neighbors[starts[row as usize]..starts[row as usize + 1]] {
            if !seen[to as usize] {
                near.push(Reverse((weight.to_bits(), to)));
            }
        }
    }
    order.reached.remove(0);
    Ok(order)
}

/// Part of the hierarchy: positions that are together at some height.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// Positions `from..to`.
    from: u32,
    to: u32,
    /// Below this height it falls apart: into two parts, or a row into its copies.
    height: f64,
    /// The parts, which are nodes; `NONE` for a row.
    parts: [u32; 2],
    /// Rows, copies included.
    size: u64,
}

impl Node {
    fn positions(&self) -> Range<usize> {
        self.from as usize..self.to as usize
    }
}

struct Hierarchy(Vec<Node>);

/// Edges by ascending weight; equal ones in their order, or, where there are many, scattered.
fn in_line(weights: &[f64], scattered: bool) -> Vec<u32> {
    let weight = |edge: u32| weights[edge as usize];
    let mut order: Vec<u32> = (0..weights.len() as u32).collect();
    order.sort_by(|&a, &b| weight(a).total_cmp(&weight(b)));
    if scattered {
        for tie in order.chunk_by_mut(|&a, &b| weight(a).total_cmp(&weight(b)).is_eq()) {
            if tie.len() > SCATTERED_EDGES {
                tie.sort_unstable_by_key(|&edge| scatter(edge));
            }
        }
    }
    order
}

/// Another number for each number, with no order in them (the finalizer of splitmix64).
fn scatter(i: u32) -> u64 {
    let mut x = u64::from(i).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

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
    /// Joins neighbours in Prim's order by ascending weight. The root comes last.
    fn new(tree: &SpanningTree, weights: &[u64], visit: &Visit, control: &dyn Control) -> Result<Self> {
        let count = visit.rows.len();
        let mut nodes: Vec<Node> = Vec::with_capacity(2 * count - 1);
        nodes.extend((0u32..).zip(&visit.rows).map(|(at, &row)| Node {
            from: at,
            to: at + 1,
            height: tree.core[row as usize],
            parts: [NONE; 2],
            size: weights[row as usize],
        }));
        let total = weights.iter().fold(0u64, |sum, &w| sum.saturating_add(w));
        let order = in_line(&visit.reached, total > SCATTERED_ROWS);
        // The node of each range of positions, known at its first and its last position.
        let mut node_at: Vec<u32> = (0..count as u32).collect();
        for (step, &at) in order.iter().enumerate() {
            if step % STEPS_BETWEEN_POLLS == 0 {
                control.poll()?;
            }
            let parts = [node_at[at as usize], node_at[at as usize + 1]];
            let [left, right] = parts.map(|part| nodes[part as usize]);
            let fresh = nodes.len() as u32;
            node_at[left.from as usize] = fresh;
            node_at[right.to as usize - 1] = fresh;
            nodes.push(Node {
                from: left.from,
                to: right.to,
                height: visit.reached[at as usize],
                parts,
                size: left.size.saturating_add(right.size),
            });
        }
        Ok(Hierarchy(nodes))
    }

    /// Clusters, each after its parent, the whole first; and the cluster that each position leaves last.
    fn condense(&self, min_cluster_size: u64, control: &dyn Control) -> Result<(Vec<Cluster>, Vec<u32>)> {
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
                let leave = |this: &mut Cluster, size: u64| {
                    this.stability += (density - this.birth) * size as f64;
                };
                let this = &mut clusters[cluster as usize];
                // Rows at distance 0 of one another are never told apart.
                let large = if density.is_finite() {
                    node.parts.map(|part| self.is_large(part, &node, min_cluster_size))
                } else {
                    [false; 2]
                };
                match large {
                    [true, true] => {
                        leave(this, node.size);
                        for part in node.parts {
                            open.push((part, clusters.len() as u32));
                            clusters.push(Cluster { parent: cluster, birth: density, stability: 0.0 });
                        }
                        break;
                    }
                    [false, false] => {
                        leave(this, node.size);
                        own[node.positions()].fill(cluster);
                        break;
                    }
                    [left_stays, _] => {
                        let [left, right] = node.parts.map(|part| self.0[part as usize]);
                        let (stays, leaves) = if left_stays { (left, right) } else { (right, left) };
                        leave(this, leaves.size);
                        own[leaves.positions()].fill(cluster);
                        node = stays;
                    }
                }
            }
        }
        Ok((clusters, own))
    }

    /// Whether a part of a node goes on as a cluster. Copies of a row that come apart at the same height do not.
    fn is_large(&self, part: u32, whole: &Node, min_cluster_size: u64) -> bool {
        part != NONE && {
            let part = &self.0[part as usize];
            let is_row = part.parts[0] == NONE;
            part.size >= min_cluster_size && !(is_row && part.height >= whole.height)
        }
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
