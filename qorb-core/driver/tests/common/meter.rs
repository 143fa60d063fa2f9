//! An exporter of metrics that keeps them, for tests to look at.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};

/// All metrics there are.
#[derive(Default)]
pub(crate) struct Meter {
    /// By name and labels, as [`Meter::all`] writes them.
    series: Mutex<BTreeMap<String, Arc<Series>>>,
    /// What each name means: kind, unit, text.
    meanings: Mutex<BTreeMap<String, String>>,
}

/// One metric with its labels.
#[derive(Default)]
pub(crate) struct Series {
    /// Of counters and gauges, all of which count.
    count: Mutex<i64>,
    /// Of histograms, one after the other.
    values: Mutex<Vec<f64>>,
}

impl Meter {
    /// All counts, and zero for histograms: `qorb.claims{qorb.claim.outcome=granted}`, without the label of the pool.
    pub(crate) fn all(&self) -> BTreeMap<String, i64> {
        let series = self.series.lock().unwrap();
        let all = series.iter();
        all.map(|(key, it)| (key.clone(), *it.count.lock().unwrap()))
            .collect()
    }

    /// The count of that name and these labels, if there is any.
    pub(crate) fn find(&self, name: &str, labels: &str) -> Option<i64> {
        let series = self.series.lock().unwrap();
        let found = series.get(&format!("{name}{{{labels}}}"))?;
        Some(*found.count.lock().unwrap())
    }

    /// The count of that name and these labels.
    #[track_caller]
    pub(crate) fn at(&self, name: &str, labels: &str) -> i64 {
        let found = self.find(name, labels);
        found.unwrap_or_else(|| panic!("no {name}{{{labels}}} in {:#?}", self.all()))
    }

    /// The values of a histogram.
    pub(crate) fn values(&self, name: &str) -> Vec<f64> {
        let series = self.series.lock().unwrap();
        let values = series[&format!("{name}{{}}")].values.lock().unwrap();
        values.clone()
    }

    /// How many still hold a metric with this label.
    pub(crate) fn holders(&self, label: &str) -> usize {
        let series = self.series.lock().unwrap();
        let labelled = series.iter().filter(|(key, _)| key.contains(label));
        labelled.map(|(_, it)| Arc::strong_count(it) - 1).sum()
    }

    /// `name: kind, unit, text`, in the order of the names.
    pub(crate) fn meanings(&self) -> Vec<String> {
        let meanings = self.meanings.lock().unwrap();
        let lines = meanings.iter();
        lines.map(|(name, it)| format!("{name}: {it}")).collect()
    }

    fn series(&self, key: &Key) -> Arc<Series> {
        let mut labels = key
            .labels()
            .map(|it| format!("{}={}", it.key(), it.value()));
        let pool = labels.next();
        assert_eq!(
            pool.as_deref(),
            Some("db.client.connection.pool.name=bench")
        );
        let labels: Vec<_> = labels.collect();
        let key = format!("{}{{{}}}", key.name(), labels.join(","));
        let mut series = self.series.lock().unwrap();
        Arc::clone(series.entry(key).or_default())
    }

    fn describe(&self, kind: &str, name: &KeyName, unit: Option<Unit>, text: &SharedString) {
        let unit = unit.expect("each has a unit").as_str();
        let meaning = format!("{kind}, {unit}, {text}");
        let mut meanings = self.meanings.lock().unwrap();
        meanings.insert(name.as_str().to_owned(), meaning);
    }
}

impl Recorder for Meter {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe("counter", &name, unit, &text);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe("gauge", &name, unit, &text);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe("histogram", &name, unit, &text);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.series(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.series(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.series(key))
    }
}

impl Series {
    fn add(&self, value: i64) {
        *self.count.lock().unwrap() += value;
    }
}

impl CounterFn for Series {
    fn increment(&self, value: u64) {
        self.add(value.try_into().unwrap());
    }

    fn absolute(&self, _: u64) {
        panic!("counters are not set");
    }
}

impl GaugeFn for Series {
    #[expect(clippy::cast_possible_truncation, reason = "it is whole, and small")]
    fn increment(&self, value: f64) {
        assert!(value.fract() == 0.0 && value.abs() < 1e6, "{value}");
        self.add(value as i64);
    }

    fn decrement(&self, value: f64) {
        GaugeFn::increment(self, -value);
    }

    fn set(&self, _: f64) {
        panic!("of records that come out of turn the last is not the newest");
    }
}

impl HistogramFn for Series {
    fn record(&self, value: f64) {
        self.values.lock().unwrap().push(value);
    }
}
