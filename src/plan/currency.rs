//! Currencies and the places their amounts are paid in.

/// Currencies without minor units.
const NONE: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
/// Currencies in thousandths.
const THREE: &str = "BHD IQD JOD KWD LYD OMR TND";
/// Currencies in ten-thousandths.
const FOUR: &str = "CLF UYW";
/// Currencies in hundredths.
const TWO: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN \
    BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP \
    GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP \
    LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD \
    PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP \
    SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG";

/// Digits after the point of an ISO 4217 currency; `None` for a code that is not one.
///
/// ```
/// use farebox::plan::minor_units;
/// assert_eq!(["JPY", "USD", "KWD"].map(minor_units), [Some(0), Some(2), Some(3)]);
/// assert_eq!(minor_units("usd"), None);
/// ```
pub fn minor_units(code: &str) -> Option<u32> {
    let places = [(0, NONE), (2, TWO), (3, THREE), (4, FOUR)];
    let lists = |list: &str| list.split_whitespace().any(|known| known == code);
    places.iter().find(|(_, list)| lists(list)).map(|(places, _)| *places)
}
