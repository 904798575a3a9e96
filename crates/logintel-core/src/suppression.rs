//! Rules that say of anomalies that they are not worth a look, or of lines that they are not worth learning.
//!
//! A rule matches what all its fields match; a field that is not given matches everything. Each anomaly is silenced on its
//! own, as in Alertmanager: an incident is hidden when every anomaly in it that says something is matched by a rule. Rules
//! match in time linear in the text, whoever wrote them: they run where nobody waits for them and with more rights than
//! their writers have.

use std::collections::BTreeSet;

use crate::baseline::{kinds, masked_head, mines};
use crate::config::{DetectorOptions, Micros};
use crate::control::Watch;
use crate::error::{Error, Result};
use crate::pattern::Finder;
use crate::severity::is_same;
use crate::template::{Matcher, Scratch as TemplateScratch};
use crate::tokenize::Tokenizer;

/// Most rules that are used together: [`Matcher`] tells as many templates apart, and compiled they take less than 64 MB.
pub const MAX_RULES: usize = 200;

/// What a rule says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// The component, letter by letter.
    pub component: Option<String>,
    /// The level, in small or capital letters.
    pub level: Option<String>,
    /// A template: it matches itself and, with `<*>` for anything, what is written after it.
    pub template: Option<String>,
    /// A regular expression that is looked for in the message.
    pub message_pattern: Option<String>,
    /// First event time for which it holds.
    pub since: Option<Micros>,
    /// End of these times, not included.
    pub until: Option<Micros>,
    /// An incident with so many matching events is shown all the same.
    pub min_count: Option<u64>,
}

/// A rule whose pattern is compiled.
#[derive(Debug)]
pub struct Ready {
    rule: Rule,
    pattern: Option<Finder>,
    /// Number of its template among those of the rules.
    template: Option<u32>,
}

impl Ready {
    /// Compiles a rule's pattern.
    ///
    /// # Errors
    /// [`Error::SuppressionPattern`].
    pub fn new(rule: Rule) -> Result<Self> {
        let pattern = rule.message_pattern.as_deref().map(Finder::new).transpose();
        Ok(Ready { pattern: pattern.map_err(Error::SuppressionPattern)?, rule, template: None })
    }

    /// Whether it has a pattern that is found in every message, as far as some that have nothing in common tell.
    pub fn finds_everything(&self) -> bool {
        const PROBES: [&str; 4] = ["", "a", "0 ;", "\u{fffd}"];
        self.pattern.as_ref().is_some_and(|pattern| PROBES.iter().all(|text| pattern.is_found(text)))
    }

    fn holds_at(&self, ts: Option<Micros>) -> bool {
        let Rule { since, until, .. } = self.rule;
        match ts {
            Some(ts) => since.is_none_or(|since| ts >= since) && until.is_none_or(|until| ts < until),
            None => since.is_none() && until.is_none(),
        }
    }

    fn fits(&self, event: &Event<'_>) -> bool {
        let Rule { component, level, .. } = &self.rule;
        self.holds_at(event.ts)
            && component.as_deref().is_none_or(|wanted| event.component == Some(wanted))
            && level.as_deref().is_none_or(|wanted| event.level.is_some_and(|level| is_same(wanted, level)))
    }

    fn is_said_in(&self, message: Option<&str>) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| message.is_some_and(|text| pattern.is_found(text)))
    }
}

/// What rules are asked about: an anomaly or a line.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// When it happened; without a time it is matched by rules that hold at any.
    pub ts: Option<Micros>,
    /// Where it happened.
    pub component: Option<&'a str>,
    /// How grave its writer thinks it is.
    pub level: Option<&'a str>,
    /// What it was written after.
    pub template: Template<'a>,
    /// What was said.
    pub message: Option<&'a str>,
}

/// How the template of an event is known.
#[derive(Debug, Clone, Copy)]
pub enum Template<'a> {
    /// As the text of one, where there is one.
    Text(Option<&'a str>),
    /// As a line that is of it.
    Line(&'a str),
}

/// Buffers of a caller's.
#[derive(Debug, Default)]
pub struct Scratch {
    template: TemplateScratch,
    /// Numbers of the templates that fit an event, once somebody has asked.
    fitting: Option<Vec<u32>>,
    matched: Vec<usize>,
}

/// Rules of one detector, ready to be asked.
#[derive(Debug)]
pub struct Rules {
    ready: Vec<Ready>,
    /// `None` where a template is a message as it is.
    matcher: Option<Matcher>,
    tokenizer: Option<Tokenizer>,
    watch: Watch,
}

impl Rules {
    /// In terms of a detector's options. `watch` may stop it.
    ///
    /// # Errors
    /// [`Error::TooMany`] beyond [`MAX_RULES`], those of [`Tokenizer::new`], and what the watch returns.
    pub fn new(mut ready: Vec<Ready>, options: &DetectorOptions, watch: Watch) -> Result<Self> {
        if ready.len() > MAX_RULES {
            return Err(Error::TooMany { what: "suppressions", max: MAX_RULES as u64 });
        }
        let texts = || ready.iter().filter_map(|one| one.rule.template.as_deref());
        let has_templates = texts().next().is_some();
        let matcher = (has_templates && mines(options))
            .then(|| Matcher::new(kinds(options), texts(), &watch))
            .transpose()?;
        let tokenizer = has_templates.then(|| Tokenizer::new(&options.vectorizer, watch)).transpose()?;
        if let Some(matcher) = &matcher {
            let (mut scratch, mut covering) = (TemplateScratch::default(), Vec::new());
            for one in &mut ready {
                let Some(text) = &one.rule.template else { continue };
                covering.clear();
                matcher.covering(text, &mut scratch, &mut covering);
                // Itself: nothing with fewer variables covers it.
                one.template = covering.first().copied();
            }
        }
        Ok(Rules { ready, matcher, tokenizer, watch })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Whether what was said matters to any.
    pub fn has_patterns(&self) -> bool {
        self.ready.iter().any(|ready| ready.pattern.is_some())
    }

    /// The moments at which one begins or ceases to hold, in order, each once.
    pub fn bounds(&self) -> Vec<Micros> {
        let bounds: BTreeSet<_> =
            self.ready.iter().flat_map(|ready| [ready.rule.since, ready.rule.until]).flatten().collect();
        bounds.into_iter().collect()
    }

    /// Places of the rules that match an event, ascending.
    ///
    /// # Errors
    /// [`Error::PatternSteps`] and [`Error::MessageTooLong`] where a line has to be masked, and what the watch returns.
    pub fn matching<'s>(&self, event: &Event<'_>, scratch: &'s mut Scratch) -> Result<&'s [usize]> {
        scratch.matched.clear();
        scratch.fitting = None;
        for (at, ready) in self.ready.iter().enumerate() {
            if ready.fits(event)
                && ready.is_said_in(event.message)
                && self.is_written_after(ready, event.template, scratch)?
            {
                scratch.matched.push(at);
            }
        }
        Ok(&scratch.matched)
    }

    fn is_written_after(&self, ready: &Ready, template: Template<'_>, scratch: &mut Scratch) -> Result<bool> {
        let Some(wanted) = ready.rule.template.as_deref() else { return Ok(true) };
        let masked = |line| match &self.tokenizer {
            Some(tokenizer) => masked_head(tokenizer, line, &self.watch),
            None => Ok(line.into()),
        };
        let Some(matcher) = &self.matcher else {
            return Ok(match template {
                Template::Text(text) => text == Some(wanted),
                Template::Line(line) => masked(line)? == wanted,
            });
        };
        if scratch.fitting.is_none() {
            let mut fitting = Vec::new();
            match template {
                Template::Text(None) => {}
                Template::Text(Some(text)) => matcher.covering(text, &mut scratch.template, &mut fitting),
                Template::Line(line) => matcher.fitting(&masked(line)?, &mut scratch.template, &mut fitting),
            }
            scratch.fitting = Some(fitting);
        }
        let fitting = scratch.fitting.as_deref().unwrap_or_default();
        Ok(ready.template.is_some_and(|own| fitting.contains(&own)))
    }
}

/// Counts what rules match of one incident.
#[derive(Debug)]
pub struct Tally<'a> {
    rules: &'a Rules,
    /// Matching events of each rule.
    events: Vec<u64>,
    /// Each set of rules that matches an anomaly which says something, once.
    sets: BTreeSet<Box<[usize]>>,
}

impl<'a> Tally<'a> {
    /// Of an incident that nothing is known of yet.
    pub fn new(rules: &'a Rules) -> Self {
        Tally { rules, events: vec![0; rules.ready.len()], sets: BTreeSet::new() }
    }

    /// Takes in anomalies that the same rules match, which stand for so many events. Routine ones say nothing of themselves.
    /// Returns whether the incident may be hidden still.
    pub fn add(&mut self, matched: &[usize], events: u64, is_routine: bool) -> bool {
        for &rule in matched {
            self.events[rule] = self.events[rule].saturating_add(events);
        }
        if !is_routine && !self.sets.contains(matched) {
            self.sets.insert(matched.into());
        }
        is_routine || !matched.is_empty()
    }

    /// Places of the rules that hide the incident, ascending: the first that does so alone, else of each anomaly the first
    /// that matches it. `None` where it is shown.
    pub fn finish(self) -> Option<Vec<usize>> {
        let Tally { rules, events, mut sets } = self;
        let applies =
            |&rule: &usize| rules.ready[rule].rule.min_count.is_none_or(|count| events[rule] < count);
        sets = sets.into_iter().map(|set| set.iter().copied().filter(applies).collect()).collect();
        let alone = sets.first()?.iter().find(|&rule| sets.iter().all(|set| set.binary_search(rule).is_ok()));
        if let Some(&alone) = alone {
            return Some(vec![alone]);
        }
        let first: Option<BTreeSet<usize>> = sets.iter().map(|set| set.first().copied()).collect();
        Some(first?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibration::splitmix;

    fn options(json: &serde_json::Value) -> DetectorOptions {
        DetectorOptions::parse(json, &|_| None).unwrap()
    }

    fn rules(rules: &[Rule]) -> Rules {
        rules_of(rules, &serde_json::json!({}))
    }

    fn rules_of(rules: &[Rule], json: &serde_json::Value) -> Rules {
        let ready = rules.iter().cloned().map(|rule| Ready::new(rule).unwrap()).collect();
        Rules::new(ready, &options(json), Watch::default()).unwrap()
    }

    fn template(text: &str) -> Rule {
        Rule { template: Some(text.into()), ..Rule::default() }
    }

    fn event(template: Template<'_>) -> Event<'_> {
        Event { ts: None, component: None, level: None, template, message: None }
    }

    fn matched(rules: &Rules, event: &Event<'_>) -> Vec<usize> {
        rules.matching(event, &mut Scratch::default()).unwrap().to_vec()
    }

    #[test]
    fn every_field_must_match() {
        let some = |text: &str| Some(text.to_owned());
        let rule = Rule {
            component: some("disk"),
            level: some("error"),
            template: some("disk <*> is full"),
            message_pattern: some("^disk sd[a-c]"),
            since: Some(10),
            until: Some(20),
            min_count: None,
        };
        let rules = rules(&[rule]);
        let event = Event {
            ts: Some(10),
            component: Some("disk"),
            level: Some("ERROR"),
            template: Template::Text(Some("disk <*> is full")),
            message: Some("disk sdb is full"),
        };
        assert_eq!(matched(&rules, &event), [0]);
        assert_eq!(matched(&rules, &Event { ts: Some(19), ..event }), [0]);
        assert_eq!(matched(&rules, &Event { template: Template::Line("disk sdb is full"), ..event }), [0]);
        for other in [
            Event { ts: Some(9), ..event },
            Event { ts: Some(20), ..event },
            Event { ts: None, ..event },
            Event { component: Some("Disk"), ..event },
            Event { component: None, ..event },
            Event { level: Some("ERR"), ..event },
            Event { level: None, ..event },
            Event { template: Template::Text(Some("disk <*> is empty")), ..event },
            Event { template: Template::Text(None), ..event },
            Event { template: Template::Line("disk sdb is empty"), ..event },
            Event { message: Some("disk sdd is full"), ..event },
            Event { message: Some("the disk sdb is full"), ..event },
            Event { message: None, ..event },
        ] {
            assert_eq!(matched(&rules, &other), [0; 0], "{other:?}");
        }
        assert_eq!(rules.bounds(), [10, 20]);
    }

    #[test]
    fn a_template_covers_what_is_written_after_it() {
        let rules = rules(&[
            template("login of <*> from <*>"),
            template("login of root from <*>"),
            template("login of <*> from <*>"),
            template(""),
        ]);
        let text = |text| matched(&rules, &event(Template::Text(Some(text))));
        assert_eq!(text("login of <*> from <*>"), [0, 2]);
        assert_eq!(text("login of root from <*>"), [0, 1, 2]);
        assert_eq!(text("login of ann from here"), [0, 2]);
        assert_eq!(text("login of ann at night"), [0; 0]);
        assert_eq!(text(""), [3]);
        let line = |line| matched(&rules, &event(Template::Line(line)));
        assert_eq!(line("login of root from 10.0.0.7"), [0, 1, 2]);
        assert_eq!(line("login of ann from 10.0.0.7"), [0, 2]);
        assert_eq!(line("logout of ann from 10.0.0.7"), [0; 0]);
    }

    #[test]
    fn where_nothing_is_mined_a_template_is_a_message() {
        let seed = serde_json::json!({"preset": "seed"});
        let rules = rules_of(&[template("job <*> failed"), template("job 7 failed")], &seed);
        for form in [Template::Text(Some("job 7 failed")), Template::Line("job 7 failed")] {
            assert_eq!(matched(&rules, &event(form)), [1]);
        }
        assert_eq!(matched(&rules, &event(Template::Text(Some("job <*> failed")))), [0]);
    }

    #[test]
    fn patterns_are_small_and_linear() {
        let pattern =
            |pattern: &str| Ready::new(Rule { message_pattern: Some(pattern.into()), ..Rule::default() });
        for (source, text, found) in [
            (r"\bfull$", "disk full\n", true),
            (r"\bfull$", "disk full\n\n", false),
            (r"(?i)DISK \w+", "the disk sda", true),
            (r"a{20}", "aaaaaaaaaaaaaaaaaaa", false),
            (r"(a*)*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", false),
        ] {
            assert_eq!(pattern(source).unwrap().is_said_in(Some(text)), found, "{source}");
        }
        for source in ["(", "a**", r"(?=x)y", r"(x)\1", r"(\w{90}){90}"] {
            assert!(matches!(pattern(source), Err(Error::SuppressionPattern(_))), "{source}");
        }
    }

    #[test]
    fn too_many_rules_are_refused() {
        let some = |n| (0..n).map(|at| Ready::new(template(&format!("a {at}"))).unwrap()).collect::<Vec<_>>();
        let make = |n| Rules::new(some(n), &options(&serde_json::json!({})), Watch::default());
        assert!(make(MAX_RULES).is_ok());
        assert!(matches!(make(MAX_RULES + 1), Err(Error::TooMany { .. })));
    }

    /// Templates of as many shapes as there may be rules, each found by itself and by what it covers.
    #[test]
    fn as_many_templates_as_rules() {
        let words = |bits: usize| {
            let word = |at: usize| if bits >> at & 1 == 1 { "<*>".to_owned() } else { format!("w{at}") };
            (0..8).map(word).collect::<Vec<_>>().join(" ")
        };
        let all: Vec<Rule> = (0..MAX_RULES).map(|bits| template(&words(bits))).collect();
        let rules = rules(&all);
        for bits in 0..MAX_RULES {
            let covering: Vec<usize> = (0..MAX_RULES).filter(|wider| wider & bits == bits).collect();
            assert_eq!(
                matched(&rules, &event(Template::Text(Some(&words(bits))))),
                covering,
                "{}",
                words(bits)
            );
        }
    }

    /// What hides an incident, as one would say it, rule by rule and anomaly by anomaly.
    fn hiding(rules: &[Rule], anomalies: &[(Vec<usize>, u64, bool)]) -> Option<Vec<usize>> {
        let applies = |rule: usize| {
            let events: u64 = anomalies
                .iter()
                .filter(|(matched, ..)| matched.contains(&rule))
                .map(|anomaly| anomaly.1)
                .sum();
            rules[rule].min_count.is_none_or(|count| events < count)
        };
        let telling: Vec<&Vec<usize>> =
            anomalies.iter().filter(|anomaly| !anomaly.2).map(|(matched, ..)| matched).collect();
        if telling.is_empty() {
            return None;
        }
        for rule in (0..rules.len()).filter(|&rule| applies(rule)) {
            if telling.iter().all(|matched| matched.contains(&rule)) {
                return Some(vec![rule]);
            }
        }
        let mut names = Vec::new();
        for matched in telling {
            names.push(matched.iter().copied().find(|&rule| applies(rule))?);
        }
        names.sort_unstable();
        names.dedup();
        Some(names)
    }

    #[test]
    fn an_incident_is_hidden_when_all_that_it_says_is() {
        let (mut hidden, mut several, mut counted) = (0, 0, 0);
        for seed in 0..20_000u64 {
            let mut chance = seed.wrapping_mul(0x9e37_79b9);
            let mut next = |below: u64| {
                chance = splitmix(chance);
                chance % below
            };
            let list: Vec<Rule> = (0..next(5))
                .map(|_| Rule { min_count: (next(2) == 0).then(|| 1 + next(12)), ..Rule::default() })
                .collect();
            let anomalies: Vec<(Vec<usize>, u64, bool)> = (0..next(5))
                .map(|_| {
                    let matched = (0..list.len()).filter(|_| next(4) > 0).collect();
                    (matched, 1 + next(4), next(4) == 0)
                })
                .collect();
            let compiled = rules(&list);
            let mut tally = Tally::new(&compiled);
            let may_be =
                anomalies.iter().all(|(matched, events, routine)| tally.add(matched, *events, *routine));
            let (said, expected) = (tally.finish(), hiding(&list, &anomalies));
            assert_eq!(said, expected, "{list:?} {anomalies:?}");
            assert!(may_be || said.is_none(), "who may not be hidden any more is shown");
            hidden += usize::from(said.is_some());
            several += usize::from(said.is_some_and(|rules| rules.len() > 1));
            counted += usize::from(may_be && expected.is_none() && !anomalies.is_empty());
        }
        assert!(hidden > 1000 && several > 100 && counted > 100, "{hidden} {several} {counted}");
    }

    #[test]
    fn work_can_be_stopped() {
        let stopped = Watch::new(|| Err(Error::Canceled));
        let many = (0..MAX_RULES).map(|_| Ready::new(template(&"x ".repeat(4000))).unwrap()).collect();
        let made = Rules::new(many, &options(&serde_json::json!({})), stopped);
        assert!(matches!(made, Err(Error::Canceled)));
    }
}
