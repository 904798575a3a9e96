//! The sessions of history, gathered in one pass over its rows.

use std::collections::HashMap;

use crate::config::{DetectorOptions, Micros};
use crate::control::{Control, Steps};
use crate::error::{Error, Result};

use super::{SessionCounts, SessionModel, SessionTrainer, UNKNOWN_TEMPLATE};

/// Bytes of a session beside its name and counts: its place in the table, twice while that grows.
const SESSION_BYTES: u64 = 256;

/// What happened in each session so far. Events are counted by the numbers of their messages: which template a
/// message is of is known when all have been read.
#[derive(Debug, Default)]
pub struct SessionLog {
    sessions: HashMap<Box<str>, Session>,
    /// Where history was cut off, if it was.
    since: Option<Micros>,
    /// Time of the last row, of a session or not.
    end: Option<Micros>,
    bytes: u64,
    max_bytes: u64,
}

#[derive(Debug, Default)]
struct Session {
    messages: SessionCounts,
    /// Time of its first event, and of its last.
    first: Option<Micros>,
    last: Option<Micros>,
}

impl SessionLog {
    /// No sessions yet; at most a quarter of `max_bytes` is used, because what is learnt takes up to three times as
    /// much while it grows.
    pub fn new(max_bytes: u64) -> Self {
        SessionLog { max_bytes, ..SessionLog::default() }
    }

    /// Rows before this time are not shown.
    pub fn begin(&mut self, since: Micros) {
        self.since = Some(since);
    }

    /// Sessions so far.
    pub fn sessions(&self) -> u64 {
        self.sessions.len() as u64
    }

    /// One more row, its message by a number; one without session tells how far history reaches.
    ///
    /// # Errors
    /// [`Error::Memory`] at the bound.
    pub fn add(&mut self, session: Option<&str>, message: Option<u32>, at: Option<Micros>) -> Result<()> {
        self.end = self.end.max(at);
        let Some(name) = session else { return Ok(()) };
        let session = if let Some(session) = self.sessions.get_mut(name) {
            session
        } else {
            self.grow(SESSION_BYTES + name.len() as u64)?;
            self.sessions.entry(name.into()).or_default()
        };
        let before = session.messages.bytes();
        session.messages.add(message.unwrap_or(UNKNOWN_TEMPLATE));
        session.first = session.first.map_or(at, |first| at.map(|at| at.min(first)).or(Some(first)));
        session.last = session.last.max(at);
        let more = session.messages.bytes() - before;
        self.grow(more)
    }

    fn grow(&mut self, bytes: u64) -> Result<()> {
        self.bytes += bytes;
        if self.bytes > self.max_bytes / 4 {
            return Err(Error::Memory {
                what: "gathering sessions",
                needed: self.bytes * 4,
                allowed: self.max_bytes,
            });
        }
        Ok(())
    }

    /// Learns which sessions are ordinary; `None` where there are none. `template_of` gives a message's template.
    ///
    /// A session is learnt when it is complete: [`DetectorOptions::session_gap`] lies between its last event and the
    /// last row, so that what goes on when history ends is not taken for a session that stops half-way; and, where
    /// history was cut off, between the cut and its first event, so that no rest of one is taken for a whole. Where that
    /// is less than half of the sessions, all are learnt.
    ///
    /// # Errors
    /// [`Error::Memory`] if this would not fit [`Control::memory`], and what `control` returns.
    pub(crate) fn learn(
        self,
        options: &DetectorOptions,
        template_of: impl Fn(u32) -> Option<u32>,
        control: &dyn Control,
    ) -> Result<Option<SessionModel>> {
        let total = self.sessions();
        if total == 0 {
            return Ok(None);
        }
        let complete_by = self.end.map(|end| end.saturating_sub(options.session_gap));
        let whole_from = self.since.map(|since| since.saturating_add(options.session_gap));
        let is_whole = |session: &Session| session.last <= complete_by && session.first >= whole_from;
        let mut steps = Steps::new(control);
        let mut complete = 0;
        for session in self.sessions.values() {
            steps.pass(8)?;
            complete += u64::from(is_whole(session));
        }
        let all = 2 * complete < total;
        let number_of = |message| match message {
            UNKNOWN_TEMPLATE => message,
            known => template_of(known).unwrap_or(UNKNOWN_TEMPLATE),
        };
        let mut trainer = SessionTrainer::new(options);
        let mut ended: Option<(Option<Micros>, Option<Micros>)> = None;
        for (done, session) in self.sessions.into_values().enumerate() {
            if done % 4096 == 0 {
                control.progress("sessions", done as u64, total);
            }
            steps.pass(16 * (1 + session.messages.counts.len()))?;
            if all || is_whole(&session) {
                let Session { messages, last, .. } = session;
                let (first, latest) = ended.unwrap_or((last, last));
                ended = Some((first.min(last), latest.max(last)));
                trainer.add(&messages.renumbered(number_of), control)?;
            }
        }
        let mut model = trainer.finish(control)?;
        model.ended = ended.unwrap_or_default();
        Ok(Some(model))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Origin;
    use super::super::SessionDetector;
    use super::*;
    use crate::control::Unattended;

    const MINUTE: Micros = 60_000_000;

    /// Requests of two or three events, one a minute, the third event of which comes half a minute later.
    fn history(log: &mut SessionLog, sessions: i64) {
        for at in 0..sessions {
            let name = format!("request {at}");
            log.add(Some(&name), Some(0), Some(at * MINUTE)).unwrap();
            log.add(None, Some(9), Some(at * MINUTE)).unwrap();
            log.add(Some(&name), Some(1), Some(at * MINUTE)).unwrap();
            if at % 2 == 0 {
                log.add(Some(&name), Some(2), Some(at * MINUTE + MINUTE / 2)).unwrap();
            }
        }
    }

    fn learnt(log: SessionLog, template_of: impl Fn(u32) -> Option<u32>) -> SessionDetector {
        let model = log.learn(&DetectorOptions::default(), template_of, &Unattended).unwrap().unwrap();
        SessionDetector::new(model, &Unattended).unwrap()
    }

    #[test]
    fn rests_of_sessions_are_not_learnt() {
        let mut log = SessionLog::new(u64::MAX);
        log.begin(0);
        history(&mut log, 100);
        log.add(None, None, Some(200 * MINUTE)).unwrap();
        // The first ten requests began within ten minutes of the cut.
        assert_eq!(learnt(log, Some).summary().training_sessions, 90);
    }

    #[test]
    fn sessions_that_go_on_are_not_learnt() {
        let mut log = SessionLog::new(u64::MAX);
        history(&mut log, 100);
        // The last row is of no session, two minutes after the last request's; request 91 ended ten before it.
        log.add(None, None, Some(101 * MINUTE)).unwrap();
        let detector = learnt(log, Some);
        assert_eq!(detector.summary().training_sessions, 92);
        assert_eq!(detector.summary().kinds, 2);
        for (last, origin) in [
            (Some(0), Origin::New),
            (Some(MINUTE / 2), Origin::Training),
            (Some(91 * MINUTE), Origin::Training),
            (Some(91 * MINUTE + 1), Origin::New),
            (None, Origin::New),
        ] {
            assert_eq!(detector.origin(last), origin, "{last:?}");
        }
    }

    #[test]
    fn a_history_shorter_than_the_gap_is_learnt_whole() {
        let mut log = SessionLog::new(u64::MAX);
        history(&mut log, 20);
        let detector = learnt(log, Some);
        assert_eq!(detector.summary().training_sessions, 10, "half of them");
        let mut log = SessionLog::new(u64::MAX);
        history(&mut log, 19);
        let detector = learnt(log, Some);
        assert_eq!(detector.summary().training_sessions, 19);
        assert_eq!(detector.origin(Some(18 * MINUTE + MINUTE / 2)), Origin::Training);
    }

    #[test]
    fn events_without_time_belong_to_sessions_that_are_complete() {
        let mut log = SessionLog::new(u64::MAX);
        history(&mut log, 100);
        log.add(Some("timeless"), Some(0), None).unwrap();
        log.add(Some("request 3"), Some(0), None).unwrap();
        let detector = learnt(log, Some);
        assert_eq!(detector.summary().training_sessions, 91);
        assert_eq!(detector.origin(None), Origin::Training);
        let mut log = SessionLog::new(u64::MAX);
        (0..3).for_each(|_| log.add(Some("timeless"), Some(0), None).unwrap());
        let detector = learnt(log, Some);
        assert_eq!((detector.origin(None), detector.origin(Some(0))), (Origin::Training, Origin::New));
    }

    #[test]
    fn messages_become_templates() {
        let sessions = |messages: &[Option<u32>]| {
            let mut log = SessionLog::new(u64::MAX);
            for (at, &message) in messages.iter().enumerate() {
                log.add(Some("a"), message, Some(at as i64)).unwrap();
            }
            let template_of =
                |message: u32| [Some(5), Some(7), Some(5), None].get(message as usize).copied()?;
            log.learn(&DetectorOptions::default(), template_of, &Unattended).unwrap().unwrap()
        };
        // Two messages of one template, one of none, one that was not numbered.
        let model = sessions(&[Some(0), Some(2), Some(1), Some(0), Some(3), None]);
        let mut expected: SessionCounts =
            [5, 5, 7, 5, UNKNOWN_TEMPLATE, UNKNOWN_TEMPLATE].into_iter().collect();
        assert_eq!(model.kinds.row(0), expected.row().as_ref());
        expected.add(5);
        assert_ne!(model.kinds.row(0), expected.row().as_ref());
    }

    #[test]
    fn no_sessions_make_no_model() {
        let mut log = SessionLog::new(u64::MAX);
        log.add(None, Some(0), Some(0)).unwrap();
        assert!(log.learn(&DetectorOptions::default(), Some, &Unattended).unwrap().is_none());
    }

    #[test]
    fn memory_is_bounded() {
        let refused = |result: Result<()>| {
            assert!(
                matches!(result, Err(Error::Memory { what: "gathering sessions", needed, allowed: 100_000 }) if needed > 100_000)
            );
        };
        let mut log = SessionLog::new(100_000);
        let sessions =
            (0..1000).take_while(|n: &u32| log.add(Some(&n.to_string()), Some(0), None).is_ok()).count();
        assert!((50..100).contains(&sessions), "{sessions}");
        refused(log.add(Some("another"), Some(0), None));
        let mut log = SessionLog::new(100_000);
        refused((0..10_000).try_for_each(|message| log.add(Some("one"), Some(message), None)));
        refused(SessionLog::new(100_000).add(Some(&"x".repeat(25_000)), Some(0), None));
    }
}
