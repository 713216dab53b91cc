//! What a request can use besides tokens, at most.

use std::collections::BTreeMap;

use super::fields::count;
use super::json::Json;
use super::{BadRequest, Bound};
use crate::money::Exact;
use crate::wire::route::Endpoint;
use crate::wire::usage::Meter;

/// Fewest bytes a second of sound is stored in: 4 kbit/s, below every codec the APIs take.
const BYTES_PER_SECOND_MIN: u64 = 500;
/// Documents that one search unit covers, and bytes of a document that are surely one chunk of the
/// 500 tokens after which a document counts again.
const DOCUMENTS_PER_UNIT: u64 = 100;
const BYTES_PER_CHUNK: u64 = 500;

/// The bounds of one request; `files` are the lengths of files sent beside its fields.
pub(super) fn of(
    endpoint: Endpoint,
    json: &Json<'_>,
    files: &[u64],
) -> Result<BTreeMap<Meter, Bound>, BadRequest> {
    let known = |quantity: u64| Bound::Known(Exact::from(quantity));
    Ok(match endpoint {
        Endpoint::Images => {
            let n = count(json, "n")?.unwrap_or(1);
            let each = Bound::Book { name: "image_output", times: n };
            BTreeMap::from([(Meter::Images, known(n)), (Meter::ImageOut, each)])
        }
        Endpoint::Speech => {
            let length = |field: &str| {
                let text = json.get(field).and_then(Json::text);
                text.map_or(0, |text| text.encode_utf16().count())
            };
            // Each API speaks one of the two and passes over the other: the longer is safe for both.
            let characters = length("input").max(length("text"));
            let characters = known(u64::try_from(characters).unwrap_or(u64::MAX));
            let sound = Bound::Book { name: "speech", times: 1 };
            BTreeMap::from([(Meter::Characters, characters), (Meter::AudioOut, sound)])
        }
        Endpoint::Transcription if !files.is_empty() => {
            let bytes = files.iter().fold(0_u64, |sum, length| sum.saturating_add(*length));
            BTreeMap::from([(Meter::Seconds, known(bytes.div_ceil(BYTES_PER_SECOND_MIN)))])
        }
        Endpoint::Transcription => {
            BTreeMap::from([(Meter::Seconds, Bound::Book { name: "seconds", times: 1 })])
        }
        Endpoint::Rerank => BTreeMap::from([(Meter::SearchUnits, known(search_units(json)))]),
        Endpoint::Ocr => BTreeMap::from([(Meter::Pages, Bound::Book { name: "pages", times: 1 })]),
        Endpoint::Job => [
            (Meter::PredictSeconds, "predict_seconds"),
            (Meter::Seconds, "seconds"),
            (Meter::Images, "images"),
            (Meter::Characters, "characters"),
        ]
        .into_iter()
        .map(|(meter, name)| (meter, Bound::Book { name, times: 1 }))
        .collect(),
        _ => BTreeMap::new(),
    })
}

/// A search unit is one query with up to 100 documents; a long document counts once per chunk, and
/// the query is part of every chunk.
fn search_units(json: &Json<'_>) -> u64 {
    let length = |value: &Json<'_>| {
        let mut bytes = 0_u64;
        value.each_text(&mut |text| {
            bytes = bytes.saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX));
        });
        bytes
    };
    let query = json.get("query").map_or(0, &length);
    let documents = json.get("documents").map_or(&[][..], Json::list);
    let chunks = documents.iter().fold(0_u64, |sum, document| {
        let bytes = length(document).saturating_add(query);
        sum.saturating_add(bytes.div_ceil(BYTES_PER_CHUNK).max(1))
    });
    chunks.div_ceil(DOCUMENTS_PER_UNIT).max(1)
}
