//! One curve on paper whose axes are both logarithmic.

use std::path::Path;

use anyhow::Context;
use plotters::prelude::*;

use crate::Curve;
use crate::report::{name, thousands};

pub(crate) fn draw(curve: &Curve, path: &Path) -> anyhow::Result<()> {
    let Curve { operation, points } = curve;
    let first = points.first().context("nothing was measured")?;
    let last = points.last().context("nothing was measured")?;
    let lowest = points
        .iter()
        .map(|point| point.nanos)
        .fold(f64::INFINITY, f64::min);
    let highest = points.iter().map(|point| point.nanos).fold(0.0, f64::max);
    // Some room, so that what is flat looks it.
    let (low, high) = ((lowest / 10.0).max(1.0), highest * 10.0);
    let area = SVGBackend::new(path, (640, 400)).into_drawing_area();
    area.fill(&WHITE)?;
    let title = format!("{}, beside {}", name(*operation), operation.beside());
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(80)
        .build_cartesian_2d(
            (first.n..last.n.max(first.n + 1)).log_scale(),
            (low..high).log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc(operation.axis())
        .y_desc("nanoseconds")
        .x_label_formatter(&|&n| thousands(n))
        .y_label_formatter(&|nanos| format!("{nanos:.0}"))
        .light_line_style(WHITE)
        .draw()?;
    let places = points.iter().map(|point| (point.n, point.nanos));
    chart.draw_series(LineSeries::new(places.clone(), &BLUE))?;
    chart.draw_series(places.map(|place| Circle::new(place, 4, BLUE.filled())))?;
    // What the law allows, from the first point on.
    let law = operation.law();
    let allowed = points.iter().map(|point| {
        let factor = law.allows(first.n, point.n) / law.allows(first.n, first.n);
        (point.n, (first.nanos * factor).min(high))
    });
    chart.draw_series(LineSeries::new(allowed, BLACK.mix(0.3)))?;
    area.present()?;
    Ok(())
}
