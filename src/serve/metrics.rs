//! What happened, and how long it took, for Prometheus.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::engine::{Answer, Engine, EngineError, Outcome};

/// From half a millisecond, a hit by bytes, to 30 s, a slow upstream.
const BUCKETS_SECS: [f64; 15] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

type Labels<const N: usize> = [(&'static str, String); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Gauges<const N: usize> = Family<Labels<N>, Gauge<i64, AtomicI64>>;
type Histograms<const N: usize> = Family<Labels<N>, Histogram>;

fn histogram() -> Histogram {
    Histogram::new(BUCKETS_SECS)
}

#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) registry: Registry,
    searches: Counters<2>,
    reviews: Counters<1>,
    checks: Counters<1>,
    calls: Counter,
    stages: Histograms<1>,
    requests: Counters<2>,
    request_secs: Histograms<1>,
    refused: Counters<1>,
    gateway: Counters<2>,
    false_hit_bound: Gauge<f64, AtomicU64>,
    quota: Gauges<2>,
    breaker_open: Gauges<1>,
    calls_saved: Gauge,
    waiting: Gauges<1>,
    photos: Gauge,
    index_pictures: Gauge,
    pub(super) pools: Gauges<2>,
    pub(super) background: Gauges<1>,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("tongkuan");
        macro_rules! register {
            ($name:literal, $help:literal, $metric:expr) => {{
                let metric = $metric;
                registry.register($name, $help, metric.clone());
                metric
            }};
        }
        let searches = register!("searches", "Searches by verdict, and the rule of hits", Family::default());
        let reviews = register!(
            "reviews",
            "Reviews by what speaks against a hit, other_variant among it",
            Family::default()
        );
        let checks = register!("checks", "Checked pictures by outcome", Family::default());
        let calls = register!("upstream_calls", "Calls that requests have caused", Counter::default());
        let stages = register!(
            "stage_seconds",
            "How long each stage of a search took",
            Histograms::new_with_constructor(histogram)
        );
        let requests = register!("http_requests", "Answered requests by route and status", Family::default());
        let request_secs = register!(
            "http_request_seconds",
            "How long requests took, by route",
            Histograms::new_with_constructor(histogram)
        );
        let refused =
            register!("refused", "Requests that were refused at the door, by code", Family::default());
        let gateway = register!(
            "gateway_searches",
            "Searches in the upstreams' dialects, by dialect and verdict",
            Family::default()
        );
        let false_hit_bound = register!(
            "false_hit_bound",
            "Share of searches for pictures that are not stored that may be answered falsely, as of the last answer",
            Gauge::default()
        );
        let quota =
            register!("quota_calls", "Calls of the day, used and left, by upstream", Family::default());
        let breaker_open = register!("breaker_open", "1 while an upstream is left alone", Family::default());
        let calls_saved = register!(
            "calls_saved",
            "Answers without a call that would have cost one, ever",
            Gauge::default()
        );
        let waiting = register!("queue_pictures", "Pictures that wait to be asked about", Family::default());
        let photos = register!("photos", "Stored photos", Gauge::default());
        let index_pictures = register!("index_pictures", "Pictures in the index", Gauge::default());
        let pools = register!("pool", "Jobs under way and requests in line, by pool", Family::default());
        let background = register!(
            "background",
            "What the work in the background came to, since the start",
            Family::default()
        );
        Self {
            registry,
            searches,
            reviews,
            checks,
            calls,
            stages,
            requests,
            request_secs,
            refused,
            gateway,
            false_hit_bound,
            quota,
            breaker_open,
            calls_saved,
            waiting,
            photos,
            index_pictures,
            pools,
            background,
        }
    }

    pub(super) fn count_search(&self, answer: &Answer) {
        let (verdict, rule) = match answer.verdict {
            Outcome::Hit => ("hit", answer.rule().map_or_else(|| "none".to_owned(), |rule| rule.to_string())),
            Outcome::Review => ("review", "none".to_owned()),
            Outcome::Miss => ("miss", "none".to_owned()),
        };
        self.searches.get_or_create(&[("verdict", verdict.to_owned()), ("rule", rule)]).inc();
        if let (Outcome::Review, Some(why)) = (answer.verdict, answer.why()) {
            self.reviews.get_or_create(&[("why", why.to_string())]).inc();
        }
        self.count_calls(answer.upstream_calls);
        for (stage, ms) in answer.timings_ms.stages() {
            if let Some(ms) = ms {
                self.stages.get_or_create(&[("stage", stage.to_owned())]).observe(ms / 1e3);
            }
        }
        if let Some(bound) = answer.max_false_hit() {
            self.false_hit_bound.set(bound);
        }
    }

    pub(super) fn count_check(&self, outcome: &str) {
        self.checks.get_or_create(&[("outcome", outcome.to_owned())]).inc();
    }

    pub(super) fn count_calls(&self, calls: u32) {
        self.calls.inc_by(calls.into());
    }

    pub(super) fn count_gateway(&self, dialect: &'static str, verdict: &str) {
        self.gateway.get_or_create(&[("dialect", dialect.to_owned()), ("verdict", verdict.to_owned())]).inc();
    }

    pub(super) fn count_request(&self, route: &str, status: u16, took: Duration) {
        self.requests.get_or_create(&[("route", route.to_owned()), ("status", status.to_string())]).inc();
        self.request_secs.get_or_create(&[("route", route.to_owned())]).observe(took.as_secs_f64());
        if matches!(status, 401 | 403 | 421 | 429 | 503) {
            self.refused.get_or_create(&[("status", status.to_string())]).inc();
        }
    }

    /// What is read where it is kept, at every scrape.
    pub(super) fn read(&self, engine: &Engine) -> Result<(), EngineError> {
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        for report in engine.quota()? {
            let set = |what: &str, calls: u32| {
                let labels = [("upstream", report.profile.to_owned()), ("calls", what.to_owned())];
                self.quota.get_or_create(&labels).set(calls.into());
            };
            set("used", report.used);
            set("left", report.left);
            let open = i64::from(report.open_until.is_some());
            self.breaker_open.get_or_create(&[("upstream", report.profile.to_owned())]).set(open);
        }
        self.calls_saved.set(whole(engine.saved_calls()?.1));
        let queue = engine.catalog().queue_counts()?;
        for (what, pictures) in [("deferred", queue.deferred), ("stale", queue.stale)] {
            self.waiting.get_or_create(&[("reason", what.to_owned())]).set(whole(pictures));
        }
        let photos = engine.catalog().photo_count()?;
        self.photos.set(whole(photos));
        self.index_pictures.set(whole(engine.index_len()? as u64));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn what_was_counted_is_there_to_be_read() {
        let metrics = Metrics::new();
        metrics.count_check("seen");
        metrics.count_calls(3);
        metrics.count_gateway("aop", "hit");
        metrics.count_request("/v1/search", 429, Duration::from_millis(3));
        let mut text = String::new();
        encode(&mut text, &metrics.registry).unwrap();
        for line in [
            "tongkuan_checks_total{outcome=\"seen\"} 1",
            "tongkuan_upstream_calls_total 3",
            "tongkuan_gateway_searches_total{dialect=\"aop\",verdict=\"hit\"} 1",
            "tongkuan_http_requests_total{route=\"/v1/search\",status=\"429\"} 1",
            "tongkuan_http_request_seconds_bucket{le=\"0.005\",route=\"/v1/search\"} 1",
            "tongkuan_refused_total{status=\"429\"} 1",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
