//! Which model a name means. Names come in many spellings: `openai/gpt-4o`, `GPT-4o`,
//! `claude-sonnet-4-5@20250929`, `bedrock/anthropic.claude-v2`.
//!
//! The order, with a provider: the exact name; a family, in book order; the same for the providers
//! it serves; then again without the provider's own name in front, with the date written the other
//! way, and without the date. Without one: the provider written in front of the name; whoever makes
//! models of that name; the only provider that lists it.

use std::borrow::Cow;
use std::collections::HashMap;

use super::schema::{Pattern, Provider};

/// Names to models, by their place in the book; built once for a book.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    /// Providers as the book lists them.
    listed: Vec<Provider>,
    /// Ids and aliases of providers in lower case to their ids.
    providers: HashMap<String, String>,
    /// Names and aliases in lower case to the models that carry them, in book order.
    exact: HashMap<String, Places>,
    /// Models with families by provider, in book order.
    families: HashMap<String, Vec<(u32, Vec<Pattern>)>>,
    /// The provider of each model, by its place in `ids`.
    of: Vec<usize>,
    /// The providers that models name.
    ids: Vec<String>,
}

/// The models that carry a name: nearly always one, and then nothing is allocated.
#[derive(Debug, Clone)]
struct Places {
    first: u32,
    more: Vec<u32>,
}

impl Places {
    fn iter(&self) -> impl Iterator<Item = u32> {
        core::iter::once(self.first).chain(self.more.iter().copied())
    }
}

impl Names {
    /// Room for so many models of these providers.
    pub(super) fn of(providers: &[Provider], models: usize) -> Self {
        let mut names = Self::default();
        names.exact.reserve(models);
        names.of.reserve(models);
        names.served_by(providers);
        names
    }

    /// Who serves them, and how they are spelt; before the models or after them.
    pub(super) fn served_by(&mut self, providers: &[Provider]) {
        self.listed = providers.to_vec();
        for provider in providers {
            for spelling in core::iter::once(&provider.id).chain(&provider.aliases) {
                self.providers.insert(spelling.to_lowercase(), provider.id.clone());
            }
        }
    }

    /// Adds the next model.
    pub(super) fn add<'n>(
        &mut self,
        provider: &str,
        names: impl Iterator<Item = &'n str>,
        families: &[Pattern],
    ) {
        let Ok(at) = u32::try_from(self.of.len()) else { return };
        for name in names {
            let places = self.exact.entry(lower(name).into_owned());
            let places = places.or_insert(Places { first: at, more: Vec::new() });
            if places.iter().last() != Some(at) {
                places.more.push(at);
            }
        }
        if !families.is_empty() {
            self.families.entry(provider.to_owned()).or_default().push((at, families.to_vec()));
        }
        // Rows of one provider stand together, so the last one is nearly always the same.
        let known = self.ids.iter().rposition(|id| id == provider);
        let id = known.unwrap_or_else(|| {
            let spelling = lower(provider).into_owned();
            self.providers.entry(spelling).or_insert_with(|| provider.to_owned());
            self.ids.push(provider.to_owned());
            self.ids.len().saturating_sub(1)
        });
        self.of.push(id);
    }
}

/// Most times a provider's own name is taken off the front, as in `fireworks_ai/fireworks/`.
/// A region is never taken off: it may cost more, so it must be listed.
const SEGMENTS_MAX: usize = 2;

impl Names {
    /// The place of the model that a name means.
    pub fn find(&self, provider: Option<&str>, name: &str) -> Option<u32> {
        let name = lower(name.trim());
        match provider {
            Some(provider) => self.of_provider(self.provider_id(provider)?, &name),
            None => self.of_anyone(&name),
        }
    }

    /// The id of a provider by any of its spellings.
    pub fn provider_id(&self, spelling: &str) -> Option<&str> {
        let spelling = lower(spelling.trim());
        let by_pattern = || {
            let fits = |provider: &&Provider| provider.spellings.iter().any(|p| p.fits(&spelling));
            self.listed.iter().find(fits).map(|provider| provider.id.as_str())
        };
        self.providers.get(&*spelling).map(String::as_str).or_else(by_pattern)
    }

    fn of_anyone(&self, name: &str) -> Option<u32> {
        let prefixed = name.split_once('/').and_then(|(head, rest)| {
            let provider = self.providers.get(head)?;
            self.of_provider(provider, name).or_else(|| self.of_provider(provider, rest))
        });
        let made = || {
            let makers = self.listed.iter();
            makers
                .filter(|provider| provider.makes.iter().any(|pattern| pattern.fits(name)))
                .find_map(|provider| self.of_provider(&provider.id, name))
        };
        prefixed.or_else(made).or_else(|| self.only_one(name))
    }

    /// The places that list a name, whatever its letter case.
    pub fn listing(&self, name: &str) -> impl Iterator<Item = u32> {
        self.exact.get(&*lower(name)).into_iter().flat_map(Places::iter)
    }

    /// The places whose families claim a name.
    pub fn claiming(&self, name: &str) -> impl Iterator<Item = u32> {
        let name = lower(name).into_owned();
        let families = self.families.values().flatten();
        families.filter(move |(_, all)| all.iter().any(|f| f.fits(&name))).map(|(at, _)| *at)
    }

    /// The model of a name that a single provider lists.
    fn only_one(&self, name: &str) -> Option<u32> {
        let mut listed = self.exact.get(name)?.iter();
        let first = listed.next()?;
        listed.all(|at| self.is_of(at, self.provider(first))).then_some(first)
    }

    fn provider(&self, at: u32) -> &str {
        let at = usize::try_from(at).ok();
        let id = at.and_then(|at| self.of.get(at)).and_then(|id| self.ids.get(*id));
        id.map_or("", String::as_str)
    }

    fn is_of(&self, at: u32, provider: &str) -> bool {
        self.provider(at) == provider
    }

    fn of_provider(&self, provider: &str, name: &str) -> Option<u32> {
        let mut rest = name;
        for _ in 0..=SEGMENTS_MAX {
            let found = self.dated(provider, rest);
            if found.is_some() {
                return found;
            }
            let (head, tail) = rest.split_once('/')?;
            if self.provider_id(head) != Some(provider) {
                return None;
            }
            rest = tail;
        }
        None
    }

    /// As written; with the date written the other way; without the date.
    fn dated(&self, provider: &str, name: &str) -> Option<u32> {
        self.served(provider, name).or_else(|| {
            let (base, _, dashed) = split_date(name)?;
            self.served(provider, &format!("{base}-{dashed}"))
                .or_else(|| self.served(provider, &format!("{base}-{}", dashed.replace('-', ""))))
                .or_else(|| self.served(provider, base))
        })
    }

    /// Among the provider's own models, then among those of the providers it serves.
    fn served(&self, provider: &str, name: &str) -> Option<u32> {
        self.own(provider, name).or_else(|| {
            let entry = self.listed.iter().find(|entry| entry.id == provider)?;
            entry.serves.iter().find_map(|other| self.own(other, name))
        })
    }

    fn own(&self, provider: &str, name: &str) -> Option<u32> {
        let mut listed = self.exact.get(name).into_iter().flat_map(Places::iter);
        listed.find(|at| self.is_of(*at, provider)).or_else(|| {
            let mut families = self.families.get(provider)?.iter();
            let claims =
                |(_, families): &&(u32, Vec<Pattern>)| families.iter().any(|f| f.fits(name));
            families.find(claims).map(|(at, _)| *at)
        })
    }
}

/// Names are compared in lower case; most are in it already, and then nothing is copied.
fn lower(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_uppercase) {
        Cow::Owned(text.to_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Splits a name that ends in a date: its base, the date as written, and the date as `YYYY-MM-DD`.
fn split_date(name: &str) -> Option<(&str, &str, String)> {
    let compact = |text: &str| -> Option<String> {
        let plausible = text.len() == 8 && digits(text) && text.starts_with("20");
        plausible
            .then(|| Some(format!("{}-{}-{}", text.get(..4)?, text.get(4..6)?, text.get(6..)?)))?
    };
    let (base, end) = name.split_at_checked(name.len().checked_sub(9)?)?;
    if let Some(date) = end.strip_prefix(['-', '@'])
        && let Some(dashed) = compact(date)
    {
        return Some((base, date, dashed));
    }
    let (base, end) = name.split_at_checked(name.len().checked_sub(11)?)?;
    let date = end.strip_prefix(['-', '@'])?;
    compact(&date.replace('-', ""))
        .filter(|dashed| dashed == date)
        .map(|dashed| (base, date, dashed))
}

impl Pattern {
    /// Whether a name belongs to the family. The name must be in lower case; the pattern need not.
    pub fn fits(&self, name: &str) -> bool {
        let holds = |part: &Option<String>, test: fn(&str, &str) -> bool| {
            part.as_deref().is_none_or(|part| test(name, &lower(part)))
        };
        holds(&self.prefix, |name, part| name.starts_with(part))
            && holds(&self.suffix, |name, part| name.ends_with(part))
            && holds(&self.contains, |name, part| name.contains(part))
            && holds(&self.except, |name, part| !name.contains(part))
            && holds(&self.dated, |name, part| {
                split_date(name).is_some_and(|(base, _, _)| base == part)
            })
    }

    /// Whether it says anything; an empty pattern would claim every name.
    pub(super) fn is_empty(&self) -> bool {
        [&self.prefix, &self.suffix, &self.contains, &self.dated]
            .into_iter()
            .all(|part| part.as_deref().is_none_or(str::is_empty))
    }
}
