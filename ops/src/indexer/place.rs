//! Places of tweets on a map.

use std::fmt;

use serde_json::Value;

/// A cell of a grid over the Earth, a tenth of a degree wide and high, named by its south-western corner in tenths of
/// degrees.
///
/// It is stored with each tweet that has a place, so that counting cells is counting terms, alike in every index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Cell {
    lat: i32,
    lon: i32,
}

impl Cell {
    pub(super) fn of(lat: f64, lon: f64) -> Self {
        let tenth = |degrees: f64, most: i32| ((degrees * 10.0).floor() as i32).clamp(-most, most - 1);
        Self { lat: tenth(lat, 900), lon: tenth(lon, 1800) }
    }

    /// Parses the output of [`Display`](fmt::Display).
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (lat, lon) = text.split_once(',')?;
        Some(Self { lat: lat.parse().ok()?, lon: lon.parse().ok()? })
    }

    /// Latitude and longitude of its centre, in degrees.
    pub(super) fn centre(self) -> (f64, f64) {
        // Rounded to hundredths, so that no spurious digits appear.
        let degrees = |tenths: i32| f64::from(tenths * 10 + 5) / 100.0;
        (degrees(self.lat), degrees(self.lon))
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.lat, self.lon)
    }
}

/// Latitude and longitude, from `[lon, lat]` as in GeoJSON, or from `[lat, lon]`, Twitter's older format.
pub(super) fn of(lon_lat: &Value, lat_lon: &Value) -> Option<(f64, f64)> {
    let newer = pair(lon_lat).map(|(lon, lat)| (lat, lon));
    let (lat, lon) = newer.or_else(|| pair(lat_lon))?;
    (lat.abs() <= 90.0 && lon.abs() <= 180.0).then_some((lat, lon))
}

fn pair(value: &Value) -> Option<(f64, f64)> {
    match value.as_array()?.as_slice() {
        [a, b] => Some((a.as_f64()?, b.as_f64()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_place_has_a_cell_that_survives_storage() {
        for (lat, lon, text, centre) in [
            (41.9, 12.49, "419,124", (41.95, 12.45)),
            (-0.01, -0.01, "-1,-1", (-0.05, -0.05)),
            (90.0, 180.0, "899,1799", (89.95, 179.95)),
            (-90.0, -180.0, "-900,-1800", (-89.95, -179.95)),
        ] {
            let cell = Cell::of(lat, lon);
            assert_eq!((cell.to_string().as_str(), cell.centre()), (text, centre));
            assert_eq!(Cell::parse(text), Some(cell));
        }
        for bad in ["", "1", "1,", "a,1", "1,2,3"] {
            assert_eq!(Cell::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_place_is_read_in_either_form_and_only_if_it_is_on_earth() {
        assert_eq!(of(&json!([12.5, 41.9]), &json!(null)), Some((41.9, 12.5)));
        assert_eq!(of(&json!(null), &json!([41.9, 12.5])), Some((41.9, 12.5)));
        for bad in [json!(null), json!([1]), json!(["a", 1]), json!([0, 91]), json!([181, 0])] {
            assert_eq!(of(&bad, &json!(null)), None, "{bad}");
        }
    }
}
