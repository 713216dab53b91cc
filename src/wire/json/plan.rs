//! Which parts of a JSON value are worth keeping.

/// A set of paths, as a tree. Lists are looked through: `choices/finish_reason` is the finish
/// reason of every choice.
///
/// - `model` keeps a string, number or boolean, and of anything else only that it was there;
/// - `usage/**` keeps everything below;
/// - `data/b64_json?` keeps only that it was there.
#[derive(Debug)]
pub struct Plan {
    steps: Vec<Step>,
}

#[derive(Debug, Default)]
struct Step {
    /// Sorted by key.
    next: Vec<(Box<str>, u16)>,
    all: bool,
    presence: bool,
}

/// What is wanted of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// Nothing.
    Skip,
    /// That it was there.
    Presence,
    /// What this step of the plan says.
    At(u16),
    /// All of it.
    All,
}

impl Plan {
    /// A plan of these paths.
    pub fn new<'a>(paths: impl IntoIterator<Item = &'a str>) -> Self {
        let mut plan = Self { steps: vec![Step::default()] };
        for path in paths {
            let (path, presence) = path.strip_suffix('?').map_or((path, false), |p| (p, true));
            let (path, all) = path.strip_suffix("/**").map_or((path, false), |p| (p, true));
            plan.add(path.split('/'), all, presence);
        }
        plan
    }

    /// Adds what an RFC 6901 JSON pointer points at, all of it.
    pub fn add_pointer(&mut self, pointer: &str) {
        let keys: Vec<String> = pointer
            .split('/')
            .skip(1)
            .filter(|step| step.parse::<usize>().is_err())
            .map(|step| step.replace("~1", "/").replace("~0", "~"))
            .collect();
        self.add(keys.iter().map(String::as_str), true, false);
    }

    fn add<'k>(&mut self, keys: impl Iterator<Item = &'k str>, all: bool, presence: bool) {
        let mut at = 0_u16;
        for key in keys {
            at = self.step(at, key);
        }
        if let Some(step) = self.steps.get_mut(usize::from(at)) {
            step.all |= all;
            step.presence |= presence;
        }
    }

    /// The step below `at` under `key`, made where it is missing. A plan that is full (it never is:
    /// our own has some hundred steps, an operator's at most a few more) gives the root again.
    fn step(&mut self, at: u16, key: &str) -> u16 {
        let Ok(new) = u16::try_from(self.steps.len()) else { return 0 };
        let Some(step) = self.steps.get_mut(usize::from(at)) else { return 0 };
        match step.next.binary_search_by(|(name, _)| (**name).cmp(key)) {
            Ok(found) => step.next.get(found).map_or(0, |(_, next)| *next),
            Err(place) => {
                step.next.insert(place, (key.into(), new));
                self.steps.push(Step::default());
                new
            }
        }
    }

    /// What is wanted of the value under `key`, where `of` is wanted of the object.
    pub(super) fn below(&self, of: Want, key: &str) -> Want {
        let Want::At(at) = of else { return of };
        let Some(step) = self.steps.get(usize::from(at)) else { return Want::Skip };
        let Ok(found) = step.next.binary_search_by(|(name, _)| (**name).cmp(key)) else {
            return Want::Skip;
        };
        let Some((_, next)) = step.next.get(found) else { return Want::Skip };
        match self.steps.get(usize::from(*next)) {
            Some(step) if step.all => Want::All,
            Some(step) if step.presence && step.next.is_empty() => Want::Presence,
            _ => Want::At(*next),
        }
    }

    /// Whether anything inside an object or list is wanted.
    pub(super) fn inside(&self, want: Want) -> bool {
        match want {
            Want::Skip | Want::Presence => false,
            Want::All => true,
            Want::At(at) => {
                self.steps.get(usize::from(at)).is_some_and(|step| !step.next.is_empty())
            }
        }
    }
}
