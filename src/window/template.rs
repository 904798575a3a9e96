//! `log_template`, declared in `sql/window.sql`.
use logintel_core::baseline::masked_head;
use logintel_core::control::Control;
use logintel_core::options::{Masks, TfidfOptions};
use logintel_core::template::{Mined, Miner, Overflow, WILDCARD};
use logintel_core::tokenize::Tokenizer;
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::WindowPartition;
use crate::control::Session;
use crate::error::{OrRaise, warn};
use crate::progress::Progress;
use crate::text::{Jsonb, Text};

/// Number of a NULL message.
const NULL: u32 = u32::MAX;
/// Number of a message that has no template.
const NO_TEMPLATE: u32 = NULL - 1;

/// The template of each row, mined over the partition; that of a NULL message is NULL.
#[pg_extern(sql = false)]
fn log_template(fcinfo: pg_sys::FunctionCallInfo) -> Option<Text> {
    // SAFETY: fcinfo is that of this call.
    let (partition, arguments) = unsafe { (WindowPartition::of_call(fcinfo), (*fcinfo).nargs) };
    let stored = partition.once::<u8>(|| {
        let _progress = Progress::begin("log_template");
        // SAFETY: argument 1, where there is one, is a jsonb.
        let options = if arguments > 1 { unsafe { partition.current::<Jsonb>(1) } } else { None };
        let masks = Masks::of_template_options(&options.map_or(serde_json::Value::Null, |json| json.0));
        let (mined, messages) = mine(&partition, masks.or_raise());
        warn_of(&mined.templates.overflow);
        encode(&mined, &messages)
    });
    template_of(stored, partition.position()).map(|text| Text(text.to_owned()))
}

/// Templates, and for each row the number of its message.
fn mine(partition: &WindowPartition, masks: Masks) -> (Mined, Vec<u32>) {
    let rows = partition.rows();
    WindowPartition::check_room::<u32>(rows);
    let kinds = masks.rules().iter().map(|rule| rule.name.clone()).collect();
    let tokenizer = Tokenizer::new(&TfidfOptions { masks, ..TfidfOptions::default() }, Session::watch());
    let tokenizer = tokenizer.or_raise();
    let mut miner = Miner::new(kinds, Session.memory());
    let mut messages = Vec::with_capacity(rows);
    // SAFETY: argument 0 is a text.
    unsafe {
        partition.for_each::<Text>(0, |message| {
            let Some(message) = message else { return messages.push(NULL) };
            let masked = masked_head(&tokenizer, &message, &Session::watch()).or_raise();
            messages.push(miner.add(&masked, 1, &Session).or_raise().unwrap_or(NO_TEMPLATE));
        });
    }
    (miner.finish(&Session).or_raise(), messages)
}

/// Says that rows have no template, and of which structure there are too many different messages.
fn warn_of(overflow: &Overflow) {
    let Some(cause) = &overflow.cause else { return };
    warn(
        format!(
            "log_template: {} rows have no template but <*>, for there are too many different messages",
            overflow.rows
        ),
        format!(
            "Most, {} of them, are like \"{}\", where value {} differs most ({} values): a mask for it helps.",
            cause.messages, cause.example, cause.position, cause.values
        ),
    );
}

/// What is stored with the partition: the number of templates, where each ends, their texts, and the template's number of
/// each row; numbers take four bytes.
fn encode(mined: &Mined, messages: &[u32]) -> Vec<u8> {
    let templates = &mined.templates.list;
    let mut bytes = (templates.len() as u32).to_ne_bytes().to_vec();
    let mut end = 0;
    for template in templates {
        end += template.text.len();
        bytes.extend((end as u32).to_ne_bytes());
    }
    WindowPartition::check_room::<u8>(bytes.len() + end + size_of_val(messages));
    for template in templates {
        bytes.extend(template.text.as_bytes());
    }
    for &message in messages {
        let template = match message {
            NULL | NO_TEMPLATE => message,
            message => mined.of[message as usize].unwrap_or(NO_TEMPLATE),
        };
        bytes.extend(template.to_ne_bytes());
    }
    bytes
}

/// The template of a row.
fn template_of(stored: &[u8], row: usize) -> Option<&str> {
    let number = |at: usize| -> Option<u32> {
        let bytes = stored.get(at..)?.first_chunk()?;
        Some(u32::from_ne_bytes(*bytes))
    };
    let templates = number(0)? as usize;
    let end = |template: usize| number(4 * template).map(|end| end as usize);
    let texts = 4 + 4 * templates;
    let length = if templates == 0 { 0 } else { end(templates)? };
    match number(texts + length + 4 * row)? {
        NULL => None,
        NO_TEMPLATE => Some(WILDCARD),
        template => {
            let template = template as usize;
            let start = if template == 0 { 0 } else { end(template)? };
            std::str::from_utf8(&stored[texts + start..texts + end(template + 1)?]).ok()
        }
    }
}
