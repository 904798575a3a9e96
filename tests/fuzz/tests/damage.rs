//! Damaged models: whatever byte is another one, and wherever they end, an error says so. Forged ones, whose checksum fits the
//! damage, are refused or work; neither takes more memory than so many times their bytes.
use logintel_core::Error;
use logintel_core::artifact::{self, Artifact};
use logintel_core::baseline::Baseline;
use logintel_core::control::Unattended;
use logintel_core::rates::RateState;
use logintel_core::tfidf::TfidfModel;
use logintel_core::wire;
use logintel_fuzz::artifacts::{body, sealed, small_baseline, small_state};
use logintel_fuzz::{memory, target};

fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/logintel-core/tests/fixtures");
    std::fs::read(format!("{folder}/{name}.bin")).expect("a frozen artifact")
}

/// Most bytes to be held for a look at so many.
fn bound(bytes: &[u8]) -> usize {
    (64 << 10) + 32 * bytes.len()
}

/// An error of the kind that the surface has an SQLSTATE for, at no great cost.
fn assert_refused<T: Artifact>(damaged: &[u8], what: &str) {
    let (decoded, held) = memory::peak(|| artifact::decode::<T>(damaged, &Unattended).err());
    match decoded {
        Some(Error::Corrupt { .. } | Error::FormatVersion { .. }) => {}
        other => panic!("{}: {what}: {other:?}", T::WHAT),
    }
    assert!(held <= bound(damaged), "{}: {what}: {held} bytes", T::WHAT);
}

/// All flips of a bit and of a whole byte, all ends, one byte too many.
fn damage<T: Artifact>(bytes: &[u8]) {
    assert!(artifact::decode::<T>(bytes, &Unattended).is_ok(), "{} is whole", T::WHAT);
    for at in 0..bytes.len() {
        for flip in (0..8).map(|bit| 1 << bit).chain([0xff]) {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= flip;
            assert_refused::<T>(&damaged, &format!("byte {at} ^ {flip:#x}"));
        }
        assert_refused::<T>(&bytes[..at], &format!("cut at {at}"));
    }
    assert_refused::<T>(&[bytes, &[0]].concat(), "a byte too many");
}

#[test]
fn a_damaged_vectoriser_is_refused() {
    damage::<TfidfModel>(&fixture("tfidf_model_v1"));
}

#[test]
fn a_damaged_detector_is_refused() {
    damage::<Baseline>(&fixture("detector_v1"));
}

#[test]
fn a_damaged_state_of_rates_is_refused() {
    damage::<RateState>(&artifact::encode(&small_state(), &Unattended).unwrap());
}

/// The targets of fuzzing say what must hold of those that are taken.
fn forge(name: &str, bytes: &[u8]) {
    let target = target(name).expect("a target");
    let body = body(bytes);
    for at in 0..body.len() {
        for flip in [1, 0x80] {
            let mut forged = body.to_vec();
            forged[at] ^= flip;
            target.feed_named(&forged);
        }
        target.feed_named(&body[..at]);
    }
}

#[test]
fn a_forged_model_is_refused_or_works() {
    forge("tfidf_model", &fixture("tfidf_model_v1"));
    forge("rate_state", &artifact::encode(&small_state(), &Unattended).unwrap());
}

#[test]
fn a_forged_model_with_a_zero_byte_is_refused() {
    let mut forged = body(&fixture("tfidf_model_v1")).to_vec();
    let at = forged.windows(4).position(|part| part == b"(?u)").expect("its token_pattern");
    forged[at] = 0;
    assert_refused::<TfidfModel>(&sealed::<TfidfModel>(&forged), "a zero byte");
}

#[test]
fn a_forged_detector_is_refused_or_works() {
    forge("detector_model", &fixture("detector_v1"));
    let small = small_baseline();
    assert!(small.rates.is_some() && small.sessions.is_some());
    forge("detector_model", &artifact::encode(&small, &Unattended).unwrap());
}

#[test]
fn a_damaged_vector_is_refused_or_another() {
    let vector: logintel_core::sparse::SparseVec = "{1:0.5,7:-0.25,90:3e38}/126".parse().unwrap();
    let bytes = wire::encode(vector.as_ref());
    for at in 0..bytes.len() {
        for flip in 1..=255 {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            let (decoded, held) = memory::peak(|| wire::decode(&damaged));
            assert!(held <= bound(&damaged), "byte {at} ^ {flip:#x}: {held} bytes");
            assert_ne!(decoded, Ok(vector.clone()), "byte {at} ^ {flip:#x}");
        }
        assert!(wire::decode(&bytes[..at]).is_err(), "cut at {at}");
    }
}
