//! What the browser's what-if exports: a Wasm module of its own, made for speed and loaded when it is
//! asked for, beside the engine that quotes, which is made small.

use wasm_bindgen::prelude::*;

use super::whatif;
use crate::book::{Book, DEFAULT};
use crate::calendar::Calendar;
use crate::plan::Plan;
use crate::quote::month;

/// Recorded usage under another book or plan.
#[wasm_bindgen]
pub struct WhatIf(whatif::WhatIf);

#[wasm_bindgen]
impl WhatIf {
    /// Under a price book, which is checked; throws its faults.
    #[wasm_bindgen(js_name = byBook)]
    pub fn by_book(json: &str) -> Result<WhatIf, String> {
        let book = Book::parse(json).map_err(|error| error.to_string())?;
        whatif_of(whatif::By::Book(Box::new(book)))
    }

    /// Under a plan, which is checked; throws its faults. Periods are the calendar's in a time zone,
    /// UTC where none is named. A plan that tells models apart knows them by the names of a price book,
    /// the built-in one where none is given.
    #[wasm_bindgen(js_name = byPlan)]
    pub fn by_plan(
        json: &str,
        zone: Option<String>,
        names: Option<String>,
    ) -> Result<WhatIf, String> {
        let plan = Plan::parse(json).map_err(|faults| faults.to_string())?;
        let calendar = Calendar::aligned(zone.as_deref().unwrap_or("UTC"), plan.period)
            .map_err(|error| error.to_string())?;
        let names = Book::parse(names.as_deref().unwrap_or(DEFAULT))
            .map_err(|error| format!("the price book of the names: {error}"))?;
        whatif_of(whatif::By::Plan(Box::new(plan), Box::new(calendar), Box::new(names)))
    }

    /// The next part of an archive (NDJSON), cut anywhere.
    pub fn push(&mut self, chunk: &[u8]) {
        self.0.push(chunk);
    }

    /// The archive is over: what it comes to, as JSON.
    pub fn finish(self) -> String {
        self.0.finish()
    }
}

fn whatif_of(by: whatif::By) -> Result<WhatIf, String> {
    whatif::WhatIf::new(by).map(WhatIf).map_err(|faults| faults.to_string())
}

/// What a month of stated volumes costs, by a book or a plan (`by`: `book` or `plan`). Answers as the
/// command `farebox quote --month` does.
#[wasm_bindgen(js_name = quoteMonth)]
pub fn quote_month(by: &str, terms: &str, volumes: &str) -> Result<String, String> {
    let volumes = month::read(volumes).map_err(|problem| problem.message)?;
    if by == "plan" {
        let plan = Plan::parse(terms).map_err(|faults| faults.to_string())?;
        return Ok(month::quote_month(&volumes, month::By::Plan(&plan)));
    }
    let book = Book::parse(terms).map_err(|error| error.to_string())?;
    Ok(month::quote_month(&volumes, month::By::Book(&book)))
}
