#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::float_cmp)]

use super::*;

fn quantity(text: &str) -> Quantity {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn quantities_are_read_as_kubernetes_reads_them() {
    let cases: &[(&str, i128)] = &[
        ("0", 0),
        ("-0", 0),
        ("0Ei", 0),
        ("0e400", 0),
        ("1", UNIT),
        ("+1", UNIT),
        ("-1", -UNIT),
        ("007", 7 * UNIT),
        ("5.", 5 * UNIT),
        (".5", UNIT / 2),
        ("1n", 1),
        ("1u", 1000),
        ("1m", MILLI),
        ("1500m", 1500 * MILLI),
        ("1k", 1000 * UNIT),
        ("1M", 1_000_000 * UNIT),
        ("1G", 1_000_000_000 * UNIT),
        ("1T", 1_000_000_000_000 * UNIT),
        ("1P", 1_000_000_000_000_000 * UNIT),
        ("1E", 1_000_000_000_000_000_000 * UNIT),
        ("1Ki", 1024 * UNIT),
        ("1Mi", (1 << 20) * UNIT),
        ("1Gi", (1 << 30) * UNIT),
        ("1Ti", (1 << 40) * UNIT),
        ("1Pi", (1 << 50) * UNIT),
        ("1Ei", (1 << 60) * UNIT),
        ("1.5Gi", 3 * (1 << 29) * UNIT),
        ("1e3", 1000 * UNIT),
        ("1E3", 1000 * UNIT),
        ("1e+3", 1000 * UNIT),
        ("1e-3", MILLI),
        ("12.5e-1", 1250 * MILLI),
        ("0.1n", 1),
        ("-0.1n", -1),
        ("1e-400", 1),
        ("1e-99999999999999", 1),
        ("0.333333333333333333333333333333", 333_333_334),
        ("0.500000000000000000000000000000", UNIT / 2),
        ("0.5000000000000000000000000000001", UNIT / 2 + 1),
        ("0.0000000000000000000000000000001", 1),
        ("1.333333333333333333Ei", 1_537_228_672_809_129_300_949_026_166),
        ("9223372036854775807", LARGEST),
        ("-9223372036854775807", -LARGEST),
        ("7.999999999999999999Ei", 9_223_372_036_854_775_806_847_078_496),
    ];
    for (text, nanos) in cases {
        assert_eq!(quantity(text).0, *nanos, "{text}");
    }
}

#[test]
fn garbage_is_no_quantity() {
    let cases = [
        "", " ", "+", "-", ".", "-.", "x", "8Gx", "Gi", "8 Gi", " 8", "8\n", "8gi", "8GI", "8K", "8ki", "1e", "1e+", "1e3Ki",
        "1Em", "1ee3", "--1", "+-1", "1.2.3", "1,5", "0x10", "1_000", "NaN", "inf", "٣", "1e3.5", "m",
    ];
    for text in cases {
        assert_eq!(text.parse::<Quantity>(), Err(QuantityError::Garbage(text.to_owned())), "{text:?}");
    }
}

#[test]
fn what_kubernetes_cannot_hold_is_too_large() {
    let cases = [
        "9223372036854775808",
        "-9223372036854775808",
        "8Ei",
        "10E",
        "1e19",
        "1e400",
        "1e99999999999999",
        "99999999999999999999999999999999999999999999999999",
        "170141183460469231731687303715884105728",
    ];
    for text in cases {
        assert_eq!(text.parse::<Quantity>(), Err(QuantityError::TooLarge(text.to_owned())), "{text}");
    }
}

#[test]
fn millis_and_values_round_away_from_zero() {
    let cases = [
        ("1", 1000, 1),
        ("100m", 100, 1),
        ("1n", 1, 1),
        ("0.0001", 1, 1),
        ("1000001u", 1001, 2),
        ("-1500m", -1500, -2),
        ("-1n", -1, -1),
        ("0", 0, 0),
        ("1.5Gi", 1_610_612_736_000, 1_610_612_736),
    ];
    for (text, millis, value) in cases {
        assert_eq!((quantity(text).millis(), quantity(text).value()), (millis, value), "{text}");
    }
    assert_eq!(quantity("9223372036854775807").millis(), i128::from(i64::MAX) * 1000);
}

#[test]
fn the_written_form_is_short_and_reads_back_the_same() {
    let cases = [
        ("0", "0"),
        ("8Gi", "8Gi"),
        ("8192Mi", "8Gi"),
        ("1.5Gi", "1536Mi"),
        ("1500m", "1500m"),
        ("2.0", "2"),
        ("1000", "1k"),
        ("100", "100"),
        ("110", "110"),
        ("1e9", "1G"),
        ("-0.25", "-250m"),
        ("1n", "1n"),
        ("9223372036854775807", "9223372036854775807"),
    ];
    for (text, written) in cases {
        assert_eq!(quantity(text).to_string(), written, "{text}");
        assert_eq!(quantity(written), quantity(text));
    }
}

#[test]
fn the_same_amount_is_equal_however_it_is_written() {
    assert_eq!(quantity("1Gi"), quantity("1024Mi"));
    assert_eq!(quantity("1"), quantity("1000m"));
    assert_eq!(quantity("1Ki"), Quantity::from_value(1024));
    assert!(quantity("1G") < quantity("1Gi"));
    assert!(quantity("-1") < Quantity::ZERO);
}

#[test]
fn texts_and_bare_numbers_are_both_taken() {
    let read = |json: &str| serde_json::from_str::<Quantity>(json).map_err(|error| error.to_string());
    assert_eq!(read("\"8Gi\""), Ok(quantity("8Gi")));
    assert_eq!(read("1"), Ok(quantity("1")));
    assert_eq!(read("-3"), Ok(quantity("-3")));
    assert_eq!(read("0.1"), Ok(quantity("100m")));
    assert_eq!(read("1e3"), Ok(quantity("1000")));
    assert!(read("true").unwrap_err().contains("expected a quantity"));
    assert!(read("null").unwrap_err().contains("expected a quantity"));
    assert!(read("1e300").unwrap_err().contains("too large"));
    assert!(read("\"8Gx\"").unwrap_err().contains("\"8Gx\" is not a quantity"));
    assert_eq!(serde_json::to_string(&quantity("8192Mi")).unwrap(), "\"8Gi\"");
}
