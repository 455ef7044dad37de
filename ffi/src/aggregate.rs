//! Aggregations: Tantivy's own module, run over several indexes as if they were one.
//!
//! Results of segments are merged while they are intermediate and finished once, so they are the same however
//! records are spread over indexes. A request is Tantivy's JSON (Elasticsearch's, in its strict form) with
//! sources for fields (`aggregate_sources`) and queries of this library for filters ([`FilterQuery`]).

use crate::aggregate_sources::{FieldTypes, Sources};
use crate::allocation::Meter;
use crate::guard::{GivenUp, Outcome};
use crate::hits::{Deadline, Page, PageCollector};
use crate::indexes::open_index;
use crate::numbers::f64_codes;
use crate::query_builder::QueryBuilder;
use crate::request::SearchRequest;
use crate::schema::tokenizers;
use serde::{Deserialize, Serialize};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Instant;
use tantivy::aggregation::agg_req::Aggregations;
use tantivy::aggregation::agg_result::{AggregationResult, AggregationResults, BucketEntries};
use tantivy::aggregation::agg_result::{BucketResult, MetricResult};
use tantivy::aggregation::bucket::QueryBuilder as FilterBuilder;
use tantivy::aggregation::intermediate_agg_result::IntermediateAggregationResults;
use tantivy::aggregation::{
    AggContextParams, AggregationLimitsGuard, AggregationSegmentCollector, DistributedAggregationCollector,
};
use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::MonotonicallyMappableToU64;
use tantivy::query::{EnableScoring, Query};
use tantivy::schema::{OwnedValue, Schema};
use tantivy::tokenizer::TokenizerManager;
use tantivy::{DocId, Score, Searcher, SegmentOrdinal, SegmentReader, TantivyError};

/// Memory that aggregations of a request may take unless it says otherwise.
const BYTES_MAX: u64 = 64 << 20;
/// Records between two looks at the clock.
const RECORDS_PER_LOOK: u64 = 1024;
/// Sorts of top hits that only make their order total: topic, partition, offset.
const TIE_BREAKS: usize = 3;

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Aggregated {
    pub aggregations: AggregationResults,
    pub field_types: FieldTypes,
}

/// The page of hits of a request, and its aggregations over all that matches.
pub fn search(request: &SearchRequest, aggregations: &Aggregations) -> Outcome<(Page, Aggregated)> {
    let text = |error: TantivyError| error.to_string();
    let query = request.query()?;
    let hits = PageCollector::new(request, Instant::now())?;
    let indexes = request.indexes.iter().map(|number| open_index(*number)).collect::<Outcome<Vec<_>>>()?;
    let searchers: Vec<Searcher> = indexes.iter().map(|index| index.reader().searcher()).collect();
    let sources = Sources::of(aggregations, &searchers)?;
    let bytes_max = request.aggregation_bytes_max.unwrap_or(BYTES_MAX);
    // What is returned is counted by whoever asked; Tantivy counts before it sorts out.
    let limits = AggregationLimitsGuard::new(Some(bytes_max), Some(u32::MAX));
    let context =
        AggContextParams::new(limits.clone(), tokenizers()).with_value_sources(Arc::new(sources.registry));
    let watch = Watch { deadline: hits.deadline(), meter: Meter::start().into(), bytes_max };
    let inner = DistributedAggregationCollector::from_aggs(sources.aggregations.clone(), context);
    let collector = (hits, Watched { inner, watch: watch.clone() });
    let limit = request.from + request.size;
    let mut page = Page::default();
    let mut merged = IntermediateAggregationResults::default();
    for searcher in &searchers {
        let scoring = match collector.requires_scoring() {
            true => EnableScoring::enabled_from_searcher(searcher),
            false => EnableScoring::disabled_from_searcher(searcher),
        };
        let weight = query.weight(scoring).map_err(text)?;
        for (ordinal, segment) in (0..).zip(searcher.segment_readers()) {
            let (found, collected) = collector.collect_segment(&*weight, ordinal, segment).map_err(text)?;
            page.absorb(found.map_err(text)?, limit, &request.sort);
            merged.merge_fruits(collected.map_err(text)?).map_err(text)?;
            watch.look();
        }
    }
    let mut results = merged.into_final_result(sources.aggregations, limits).map_err(text)?;
    watch.look();
    decode_top_hits(&mut results);
    page.hits.drain(..request.from.min(page.hits.len()));
    Ok((page, Aggregated { aggregations: results, field_types: sources.field_types }))
}

/// What a search may still take.
#[derive(Clone)]
struct Watch {
    deadline: Option<Deadline>,
    meter: Arc<Meter>,
    bytes_max: u64,
}

impl Watch {
    /// Gives the search up if it is late or takes too much. Tantivy has no other way out of its loop than unwinding.
    fn look(&self) {
        if let Some(deadline) = &self.deadline {
            deadline.look();
        }
        self.look_at_memory();
    }

    fn look_at_memory(&self) {
        if self.meter.bytes() > self.bytes_max {
            let text = format!("The aggregations need more than {} bytes.", self.bytes_max);
            resume_unwind(Box::new(GivenUp(text)));
        }
    }
}

/// Tantivy's collector under watch.
struct Watched {
    inner: DistributedAggregationCollector,
    watch: Watch,
}

struct WatchedSegment {
    inner: AggregationSegmentCollector,
    watch: Watch,
    count: u64,
}

impl Collector for Watched {
    type Fruit = IntermediateAggregationResults;
    type Child = WatchedSegment;

    fn for_segment(
        &self,
        ordinal: SegmentOrdinal,
        segment: &SegmentReader,
    ) -> tantivy::Result<WatchedSegment> {
        let inner = self.inner.for_segment(ordinal, segment)?;
        Ok(WatchedSegment { inner, watch: self.watch.clone(), count: 0 })
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(
        &self,
        fruits: Vec<tantivy::Result<IntermediateAggregationResults>>,
    ) -> tantivy::Result<IntermediateAggregationResults> {
        self.inner.merge_fruits(fruits)
    }
}

impl WatchedSegment {
    fn count(&mut self, records: u64) {
        let looks = self.count / RECORDS_PER_LOOK;
        self.count += records;
        if self.count / RECORDS_PER_LOOK > looks {
            self.watch.look();
        } else {
            self.watch.look_at_memory();
        }
    }
}

impl SegmentCollector for WatchedSegment {
    type Fruit = tantivy::Result<IntermediateAggregationResults>;

    fn collect(&mut self, doc: DocId, score: Score) {
        self.count(1);
        self.inner.collect(doc, score);
    }

    fn collect_block(&mut self, docs: &[DocId]) {
        self.count(docs.len() as u64);
        self.inner.collect_block(docs);
    }

    fn harvest(self) -> Self::Fruit {
        self.inner.harvest()
    }
}

/// A filter in the query language of the boundary: `{"type": "FilterQuery", "query": "<its JSON>"}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilterQuery {
    query: String,
}

#[typetag::serde]
impl FilterBuilder for FilterQuery {
    fn build_query(&self, _: &Schema, _: &TokenizerManager) -> tantivy::Result<Box<dyn Query>> {
        let query = serde_json::from_str(&self.query).map_err(|error| {
            TantivyError::InvalidArgument(format!("The filter is not understood: {error}"))
        })?;
        QueryBuilder::default().build(&query).map_err(TantivyError::InvalidArgument)
    }

    fn box_clone(&self) -> Box<dyn FilterBuilder> {
        Box::new(self.clone())
    }
}

/// Puts the numbers that top hits were sorted by beside their fields, as `sort`: what Tantivy shows are codes.
fn decode_top_hits(results: &mut AggregationResults) {
    for result in results.0.values_mut() {
        match result {
            AggregationResult::MetricResult(MetricResult::TopHits(top)) => {
                for hit in &mut top.hits {
                    let shown = hit.sort.len().saturating_sub(TIE_BREAKS);
                    let numbers = hit.sort.drain(..).take(shown).map(|code| match code {
                        Some(code) if f64_codes().contains(&code) => OwnedValue::F64(f64::from_u64(code)),
                        _ => OwnedValue::Null,
                    });
                    hit.doc_value_fields.insert("sort".to_owned(), OwnedValue::Array(numbers.collect()));
                }
            }
            AggregationResult::MetricResult(_) => {}
            AggregationResult::BucketResult(BucketResult::Filter(filter)) => {
                decode_top_hits(&mut filter.sub_aggregations);
            }
            AggregationResult::BucketResult(
                BucketResult::Histogram { buckets: BucketEntries::Vec(buckets) }
                | BucketResult::Terms { buckets, .. },
            ) => buckets.iter_mut().for_each(|bucket| decode_top_hits(&mut bucket.sub_aggregation)),
            AggregationResult::BucketResult(_) => {}
        }
    }
}
