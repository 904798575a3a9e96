//! The prototype's published results, to the row.
mod common;

use std::collections::HashMap;

use logintel_core::baseline::{Baseline, Trainer};
use logintel_core::config::DetectorOptions;
use logintel_core::control::{Unattended, Watch};
use logintel_core::detect::{Detector, Mode, Reason, Scratch};
use logintel_core::line::Line;

fn rows() -> Option<Vec<HashMap<String, String>>> {
    Some(common::logs::csv_rows(&common::logs::data()?.join("seed/logs_with_clusters.csv")))
}

fn train(rows: &[HashMap<String, String>]) -> Baseline {
    let options = DetectorOptions::parse(&serde_json::json!({"preset": "seed"}), &|_| None).unwrap();
    let mut trainer = Trainer::new(&options, u64::MAX, Watch::default()).unwrap();
    for row in rows {
        trainer.add(&Line::new(&row["template"], Some(&row["level"]))).unwrap();
    }
    trainer.finish(&Unattended).unwrap()
}

#[test]
fn terms_clusters_and_noise_are_those_published() {
    let Some(rows) = rows() else { return };
    let baseline = train(&rows);
    assert_eq!(baseline.model.len(), 126);
    assert_eq!((baseline.summary.clusters, baseline.summary.noise_rows), (14, 12));
    let detector = Detector::new(baseline, Watch::default()).unwrap();
    let mut scratch = Scratch::new(Watch::default());
    let (mut forth, mut back) = (HashMap::new(), HashMap::new());
    for row in &rows {
        let judgement = detector
            .judge(&Line::new(&row["template"], Some(&row["level"])), Mode::History, &mut scratch)
            .unwrap();
        let published: i64 = row["cluster_id"].parse().unwrap();
        let ours = judgement.cluster.map_or(-1, i64::from);
        assert_eq!(judgement.is_anomaly, row["is_anomaly"] == "True");
        assert_eq!(*forth.entry(published).or_insert(ours), ours, "the partition differs");
        assert_eq!(*back.entry(ours).or_insert(published), published, "the partition differs");
    }
}

#[test]
fn its_live_rule_flags_every_row_that_it_was_trained_on() {
    let Some(rows) = rows() else { return };
    let detector = Detector::new(train(&rows), Watch::default()).unwrap();
    let mut scratch = Scratch::new(Watch::default());
    let judge = |row: &HashMap<String, String>, scratch: &mut Scratch| {
        detector.judge(&Line::new(&row["message"], Some(&row["level"])), Mode::Live, scratch).unwrap()
    };
    let all: Vec<_> = rows.iter().map(|row| judge(row, &mut scratch)).collect();
    let smallest = all.iter().map(|judgement| judgement.distance).fold(f64::INFINITY, f64::min);
    assert_eq!(format!("{smallest:.4}"), "0.4375");
    assert!(all.iter().all(|judgement| judgement.is_anomaly));
    let disk = detector
        .judge(&Line::new("Disk failure detected on DataNode", Some("error")), Mode::Live, &mut scratch)
        .unwrap();
    assert_eq!(disk.reason, Reason::ErrorLevel);
}
