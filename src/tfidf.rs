//! The type `tfidf_model`, the aggregate `tfidf_fit`, and `log_embed`.
//!
//! A `tfidf_model` is a varlena whose bytes are the engine's checksummed artifact. The functions here are declared by
//! hand (sql/tfidf.sql), because pgrx has no words for an aggregate's internal state or a call site's memory.
use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::rc::Rc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use logintel_core::Error;
use logintel_core::artifact;
use logintel_core::control::Control;
use logintel_core::counts::TermCounts;
use logintel_core::limits::MAX_MODEL_BYTES;
use logintel_core::options::TfidfOptions;
use logintel_core::tfidf::TfidfModel;
use logintel_core::vectorizer::{Scratch, Vectorizer};
use pgrx::PgMemoryContexts;
use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::cache::{self, Key};
use crate::call::{Raw, argument, given};
use crate::control::Session;
use crate::error::{OrRaise, fail, raise};
use crate::logvec::LogVec;
use crate::progress::Progress;
use crate::settings;
use crate::text::{Jsonb, Text, to_datum, with_text};
use crate::tuples::ResultSet;

/// Lends the bytes of a varlena datum.
///
/// # Safety
/// The datum is a non-NULL varlena.
unsafe fn with_bytes<T>(datum: pg_sys::Datum, use_them: impl FnOnce(&[u8]) -> T) -> T {
    // SAFETY: detoasting gives a varlena whose bytes live until it is freed below.
    unsafe {
        let stored: *mut pg_sys::varlena = datum.cast_mut_ptr();
        let plain = pg_sys::pg_detoast_datum_packed(stored);
        let result = use_them(pgrx::varlena_to_byte_slice(plain));
        if plain != stored {
            pg_sys::pfree(plain.cast());
        }
        result
    }
}

/// Bytes as a varlena datum.
fn varlena(bytes: &[u8]) -> pg_sys::Datum {
    // SAFETY: copies as many bytes as there are; models are bounded well below 1 GB.
    unsafe { pg_sys::cstring_to_text_with_len(bytes.as_ptr().cast(), bytes.len() as i32).into() }
}

// Input and output ----------------------------------------------------------------------------------------------

/// Text form to model: base64 of the artifact, which is checked.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_extern(sql = false)]
unsafe fn tfidf_model_in(fcinfo: pg_sys::FunctionCallInfo) -> Raw {
    // SAFETY: a type's input function gets a C string.
    let text = unsafe { CStr::from_ptr(given(fcinfo, 0).cast_mut_ptr()) };
    // As in PostgreSQL's own base64, which breaks lines.
    let text: Cow<'_, [u8]> = match text.to_bytes() {
        bytes if bytes.iter().any(u8::is_ascii_whitespace) => {
            bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect()
        }
        bytes => Cow::Borrowed(bytes),
    };
    if text.len() > MAX_MODEL_BYTES.div_ceil(3) * 4 {
        raise(&Error::ModelTooLarge { what: "tfidf_model", max: MAX_MODEL_BYTES });
    }
    let bytes = BASE64_STANDARD.decode(&*text).unwrap_or_else(|error| {
        fail(
            PgSqlErrorCode::ERRCODE_INVALID_TEXT_REPRESENTATION,
            format!("invalid input syntax for type tfidf_model: {error}"),
            "A tfidf_model is what tfidf_fit returns; its text form is base64 and cannot be written by hand.",
        )
    });
    checked(&bytes);
    Raw(Some(varlena(&bytes)))
}

/// Model to text form.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_extern(sql = false)]
unsafe fn tfidf_model_out(fcinfo: pg_sys::FunctionCallInfo) -> Raw {
    // SAFETY: STRICT, of type tfidf_model.
    let text = unsafe { with_bytes(given(fcinfo, 0), |b| BASE64_STANDARD.encode(b)) };
    let text = CString::new(text).unwrap_or_default();
    // SAFETY: copies a C string.
    Raw(Some(unsafe { pg_sys::pstrdup(text.as_ptr()).into() }))
}

/// Binary form to model; it is checked.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_extern(sql = false)]
unsafe fn tfidf_model_recv(fcinfo: pg_sys::FunctionCallInfo) -> Raw {
    // SAFETY: a receive function gets a StringInfo; what remains of it is ours to read.
    let bytes = unsafe {
        let buffer: pg_sys::StringInfo = given(fcinfo, 0).cast_mut_ptr();
        let rest = (*buffer).len - (*buffer).cursor;
        std::slice::from_raw_parts(pg_sys::pq_getmsgbytes(buffer, rest).cast::<u8>(), rest as usize)
    };
    checked(bytes);
    Raw(Some(varlena(bytes)))
}

/// Model to binary form: the artifact.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_extern(sql = false)]
unsafe fn tfidf_model_send(fcinfo: pg_sys::FunctionCallInfo) -> Raw {
    // SAFETY: STRICT, of type tfidf_model.
    Raw(Some(unsafe { with_bytes(given(fcinfo, 0), varlena) }))
}

fn checked(bytes: &[u8]) -> TfidfModel {
    if bytes.len() > MAX_MODEL_BYTES {
        raise(&Error::ModelTooLarge { what: "tfidf_model", max: MAX_MODEL_BYTES });
    }
    artifact::decode(bytes, &Session).or_raise()
}

// tfidf_fit -----------------------------------------------------------------------------------------------------

/// Messages from one report of progress to the next.
const DOCUMENTS_BETWEEN_REPORTS: u64 = 4096;

/// The state of an aggregation.
struct FitState {
    counts: TermCounts,
    /// Options as their datum's bytes, which must be the same for every row; empty for none.
    options: Vec<u8>,
    /// Shows the call; of several groups, the first.
    progress: Option<Progress>,
}

/// The memory context of the aggregate that is running.
///
/// # Safety
/// `fcinfo` is that of the running call.
unsafe fn aggregate_context(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::MemoryContext {
    let mut context = std::ptr::null_mut();
    // SAFETY: the caller's.
    if unsafe { pg_sys::AggCheckCallContext(fcinfo, &raw mut context) } == 0 {
        fail(
            PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
            "this function works only inside the aggregate tfidf_fit",
            "Call tfidf_fit(message).",
        );
    }
    context
}

/// Hands a state over to the aggregate's memory, which drops it.
fn keep(context: pg_sys::MemoryContext, state: FitState) -> *mut FitState {
    PgMemoryContexts::For(context).leak_and_drop_on_delete(state)
}

/// Takes in a row: (internal, text [, jsonb]) → internal.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_extern(sql = false)]
unsafe fn tfidf_fit_accum(fcinfo: pg_sys::FunctionCallInfo) -> Raw {
    // SAFETY: the arguments are those of the declaration; the state is one of ours.
    unsafe {
        let context = aggregate_context(fcinfo);
        let given = if (*fcinfo).nargs > 2 { argument(fcinfo, 2) } else { None };
        let bytes = given.map_or_else(Vec::new, |json| with_bytes(json, <[u8]>::to_vec));
        let state = if let Some(state) = argument(fcinfo, 0) {
            state.cast_mut_ptr::<FitState>()
        } else {
            let json = given
                .and_then(|json| Jsonb::from_datum(json, false))
                .map_or(serde_json::Value::Null, |json| json.0);
            let options = TfidfOptions::default().merge(&json).or_raise();
            let counts = TermCounts::new(&options, settings::maintenance_mem(), Session::watch()).or_raise();
            let progress = Progress::begin_alone("tfidf_fit");
            keep(context, FitState { counts, options: bytes.clone(), progress })
        };
        if (*state).options != bytes {
            fail(
                PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
                "the options of tfidf_fit must be the same for every row",
                "Give a constant, or GROUP BY what they depend on.",
            );
        }
        if let Some(message) = argument(fcinfo, 1) {
            let state = &mut *state;
            let documents = state.counts.documents();
            if documents.is_multiple_of(DOCUMENTS_BETWEEN_REPORTS) && state.progress.is_some() {
                Session.progress("reading", documents, 0);
            }
            with_text(message, |text| state.counts.add(text)).or_raise();
        }
        Raw(Some(pg_sys::Datum::from(state)))
    }
}

/// Adds one state to another: (internal, internal) → internal.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_extern(sql = false)]
unsafe fn tfidf_fit_combine(fcinfo: pg_sys::FunctionCallInfo) -> Raw {
    // SAFETY: both states are ours, or NULL.
    unsafe {
        let context = aggregate_context(fcinfo);
        let (left, right) = (argument(fcinfo, 0), argument(fcinfo, 1));
        let Some(right) = right.map(|right| &*right.cast_mut_ptr::<FitState>()) else {
            return Raw(left);
        };
        let left = if let Some(left) = left {
            left.cast_mut_ptr::<FitState>()
        } else {
            // The other state stays whose it is: ours is a copy.
            let counts =
                TermCounts::new(right.counts.options(), settings::maintenance_mem(), Session::watch())
                    .or_raise();
            keep(context, FitState { counts, options: right.options.clone(), progress: None })
        };
        (*left).counts.merge(&right.counts).or_raise();
        Raw(Some(pg_sys::Datum::from(left)))
    }
}

/// A state as bytes, for the leader of a parallel plan.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_extern(sql = false)]
unsafe fn tfidf_fit_serial(fcinfo: pg_sys::FunctionCallInfo) -> Raw {
    // SAFETY: STRICT; the state is ours.
    unsafe {
        aggregate_context(fcinfo);
        let state = &*given(fcinfo, 0).cast_mut_ptr::<FitState>();
        let mut head = (state.options.len() as u32).to_le_bytes().to_vec();
        head.extend_from_slice(&state.options);
        Raw(Some(varlena(&state.counts.to_bytes(&head).or_raise())))
    }
}

/// The state of the bytes.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_extern(sql = false)]
unsafe fn tfidf_fit_deserial(fcinfo: pg_sys::FunctionCallInfo) -> Raw {
    // SAFETY: STRICT; the bytes are those of `tfidf_fit_serial`, and checked all the same.
    unsafe {
        aggregate_context(fcinfo);
        let state = with_bytes(given(fcinfo, 0), |bytes| {
            let corrupt = || Error::Corrupt { what: "tfidf_fit state", why: "it is too short".into() };
            let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(corrupt)?;
            let (options, counts) =
                rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(corrupt)?;
            Ok(FitState {
                counts: TermCounts::from_bytes(counts, settings::maintenance_mem(), Session::watch())?,
                options: options.to_vec(),
                progress: None,
            })
        });
        Raw(Some(pg_sys::Datum::from(keep(pg_sys::CurrentMemoryContext, state.or_raise()))))
    }
}

/// The model of a state; NULL where there was no message.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_extern(sql = false)]
unsafe fn tfidf_fit_final(fcinfo: pg_sys::FunctionCallInfo) -> Raw {
    // SAFETY: the state is ours, or NULL.
    unsafe {
        aggregate_context(fcinfo);
        let state = argument(fcinfo, 0).map(|state| &*state.cast_mut_ptr::<FitState>());
        let state = state.filter(|state| state.counts.documents() > 0);
        Raw(state
            .map(|state| varlena(&artifact::encode(&state.counts.finish().or_raise(), &Session).or_raise())))
    }
}

// log_embed -----------------------------------------------------------------------------------------------------

/// What a call site keeps between rows: looking the model up in the session's cache compares all of its bytes.
struct CallSite {
    /// Address of the datum.
    datum: usize,
    /// Its first bytes as stored, which hold its length and checksum; for a value kept out of line, the pointer to it.
    head: Vec<u8>,
    vectorizer: Rc<Vectorizer>,
    scratch: Scratch,
}

/// Bytes of a datum that tell whether it is still the same at the same address.
const HEAD: usize = 64;

/// Bytes of an artifact that hold its length and checksum.
const ARTIFACT_HEAD: i32 = 18;

/// What a model is known by in the session's cache.
///
/// # Safety
/// The datum is a non-NULL model.
unsafe fn cache_key(datum: pg_sys::Datum) -> Key {
    // SAFETY: a varlena tells how it is kept; a slice of it is a varlena of its own.
    unsafe {
        let stored = stored_bytes(datum);
        let pointer: *const pg_sys::varlena = datum.cast_mut_ptr();
        if !pgrx::varatt_is_1b_e(pointer) {
            return Key::Vectorizer { stored: stored.to_vec(), head: Vec::new() };
        }
        let slice = pg_sys::pg_detoast_datum_slice(datum.cast_mut_ptr(), 0, ARTIFACT_HEAD);
        let head = pgrx::varlena_to_byte_slice(slice).to_vec();
        pg_sys::pfree(slice.cast());
        Key::Vectorizer { stored: stored.to_vec(), head }
    }
}

/// The vectoriser of a model, from the session's cache or decoded now.
///
/// # Safety
/// The datum is a non-NULL model.
unsafe fn vectorizer(datum: pg_sys::Datum) -> Rc<Vectorizer> {
    // SAFETY: the caller's.
    unsafe {
        let key = cache_key(datum);
        cache::find(&key).unwrap_or_else(|| {
            let model = with_bytes(datum, checked);
            let (needed, allowed) = (Vectorizer::bytes_needed(&model), settings::maintenance_mem());
            if needed > allowed {
                raise(&Error::Memory { what: "the look-up tables of a tfidf_model", needed, allowed });
            }
            let vectorizer = Rc::new(Vectorizer::with_known_words(model, &[], Session::watch()).or_raise());
            cache::keep(key, &vectorizer, vectorizer.bytes() as u64);
            vectorizer
        })
    }
}

/// The bytes of a datum as they are stored, not detoasted.
///
/// # Safety
/// The datum is a non-NULL varlena.
unsafe fn stored_bytes<'a>(datum: pg_sys::Datum) -> &'a [u8] {
    // SAFETY: a varlena tells its own size.
    unsafe {
        let pointer: *const pg_sys::varlena = datum.cast_mut_ptr();
        std::slice::from_raw_parts(pointer.cast::<u8>(), pgrx::varsize_any(pointer))
    }
}

/// Runs `work` with the vectoriser of the model that is the call's first argument.
///
/// # Safety
/// `fcinfo` is that of the running call, and its first argument a non-NULL model.
unsafe fn with_vectorizer<T>(
    fcinfo: pg_sys::FunctionCallInfo,
    work: impl FnOnce(&Vectorizer, &mut Scratch) -> T,
) -> T {
    // SAFETY: the caller's; fn_extra is ours, in memory that lives as long as it.
    unsafe {
        let datum = given(fcinfo, 0);
        let head = stored_bytes(datum);
        let head = &head[..head.len().min(HEAD)];
        let site_info = (*fcinfo).flinfo;
        let mut site = (*site_info).fn_extra.cast::<CallSite>();
        if site.is_null() || (*site).datum != datum.value() || (*site).head != head {
            let fresh = CallSite {
                datum: datum.value(),
                head: head.to_vec(),
                vectorizer: vectorizer(datum),
                scratch: Scratch::watched(Session::watch()),
            };
            if site.is_null() {
                site = PgMemoryContexts::For((*site_info).fn_mcxt).leak_and_drop_on_delete(fresh);
                (*site_info).fn_extra = site.cast();
            } else {
                *site = fresh;
            }
        }
        let site = &mut *site;
        work(&site.vectorizer, &mut site.scratch)
    }
}

/// `(tfidf_model, text) → logvec`.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_extern(sql = false)]
unsafe fn log_embed(fcinfo: pg_sys::FunctionCallInfo) -> Raw {
    // SAFETY: STRICT, of these types.
    unsafe {
        let message = given(fcinfo, 1);
        Raw(with_vectorizer(fcinfo, |vectorizer, scratch| {
            with_text(message, |text| {
                vectorizer.embed(text, scratch).map(|vector| LogVec::from(vector).into_datum())
            })
            .or_raise()
        }))
    }
}

/// The vector of a message in a detector's active model.
#[pg_extern(name = "log_embed", stable, strict, parallel_restricted, cost = 500, requires = ["detector"])]
fn log_embed_detector(detector: Text, message: Text) -> LogVec<'static> {
    crate::detector::embed(&detector, &message).as_ref().into()
}

// Looking inside --------------------------------------------------------------------------------------------------

/// `(tfidf_model) → setof (term, idx, df, idf)`.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_extern(sql = false)]
unsafe fn tfidf_terms(fcinfo: pg_sys::FunctionCallInfo) -> Raw {
    // SAFETY: STRICT, of type tfidf_model.
    let (model, mut set) = unsafe { (with_bytes(given(fcinfo, 0), checked), ResultSet::of_call(fcinfo)) };
    for index in 0..model.len() {
        if index % 1024 == 0 {
            pgrx::check_for_interrupts!();
        }
        set.push(|| {
            vec![
                Some(to_datum(&model.term(index))),
                (index as i32 + 1).into_datum(),
                (model.df(index) as i64).into_datum(),
                model.idf(index).into_datum(),
            ]
        });
    }
    Raw(None)
}

/// `(tfidf_model) → jsonb`.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_extern(sql = false)]
unsafe fn tfidf_summary(fcinfo: pg_sys::FunctionCallInfo) -> Raw {
    // SAFETY: STRICT, of type tfidf_model.
    let (model, bytes) = unsafe { with_bytes(given(fcinfo, 0), |bytes| (checked(bytes), bytes.len())) };
    let summary = serde_json::json!({
        "documents": model.documents,
        "terms": model.len(),
        "pruned_terms": model.pruned,
        "bytes": bytes,
        "options": model.options.to_json(),
    });
    Raw(Jsonb(summary).into_datum())
}
