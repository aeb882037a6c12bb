//! QR codes: the image inside enrolment details and the `qr` reply form (reference http-api 2.7).

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::HeaderValue;
use qrcode::types::Color;
use qrcode::{EcLevel, QrCode};

use super::{Reply, escape};

/// Pixels per module.
const MODULE: usize = 10;
/// Quiet zone around the symbol, in modules.
const BORDER: usize = 4;

/// The text is too long for a QR symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text does not fit into a QR code")]
pub(crate) struct TooLong;

/// How the `qr` parameter wants the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QrForm {
    /// An `<img>` element alone.
    Image,
    /// The PNG file.
    Png,
    /// A page with the image and the details as a list.
    Page,
}

impl QrForm {
    /// The form a value of the `qr` parameter asks for.
    pub(crate) fn parse(value: &str) -> Self {
        match value {
            "img" | "embed" => Self::Image,
            "png" => Self::Png,
            _ => Self::Page,
        }
    }
}

/// One line of the image, one bit per pixel, white is 1; `None` is a line of the quiet zone.
fn scan_line(modules: Option<&[Color]>, pixels: usize) -> Vec<u8> {
    let mut line = vec![0xff; pixels.div_ceil(8)];
    for (column, color) in modules.unwrap_or_default().iter().enumerate() {
        if *color != Color::Dark {
            continue;
        }
        for pixel in (BORDER + column) * MODULE..(BORDER + column + 1) * MODULE {
            if let Some(byte) = line.get_mut(pixel / 8) {
                *byte &= !(0x80 >> (pixel % 8));
            }
        }
    }
    line
}

/// The text as PNG: error correction level M, smallest version that fits.
pub(crate) fn png(text: &str) -> Result<Vec<u8>, TooLong> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).map_err(|_| TooLong)?;
    let width = code.width();
    let pixels = (width + 2 * BORDER) * MODULE;
    let colors = code.into_colors();
    let blank = scan_line(None, pixels).repeat(BORDER * MODULE);
    let mut data = blank.clone();
    for row in colors.chunks(width) {
        data.extend(scan_line(Some(row), pixels).repeat(MODULE));
    }
    data.extend(blank);
    let side = u32::try_from(pixels).map_err(|_| TooLong)?;
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    // Each row of modules is ten equal lines, which become nine lines of zeros.
    encoder.set_filter(png::Filter::Up);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header().map_err(|_| TooLong)?;
    writer.write_image_data(&data).map_err(|_| TooLong)?;
    writer.finish().map_err(|_| TooLong)?;
    Ok(file)
}

/// The text as SVG, which stays sharp at every size: error correction level M, one unit for each module.
fn svg(text: &str) -> Result<String, TooLong> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).map_err(|_| TooLong)?;
    let width = code.width();
    let side = width + 2 * BORDER;
    let mut path = String::new();
    for (row, colors) in code.into_colors().chunks(width).enumerate() {
        for (column, color) in colors.iter().enumerate() {
            if *color == Color::Dark {
                // Writing to a String cannot fail.
                let _ = write!(path, "M{} {}h1v1h-1z", BORDER + column, BORDER + row);
            }
        }
    }
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
         <path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/><path d=\"{path}\"/></svg>"
    ))
}

/// The data URI of the SVG; an empty text if the code cannot be made.
pub(crate) fn svg_uri(text: &str) -> String {
    let Ok(svg) = svg(text) else { return String::new() };
    let mut uri = String::from("data:image/svg+xml;base64,");
    STANDARD.encode_string(svg, &mut uri);
    uri
}

/// The `<img>` element with the code of a text as data URI; an empty text if the code cannot be made.
pub(crate) fn image_tag(text: &str, width: Option<u32>, alt: Option<&str>) -> String {
    let Ok(png) = png(text) else { return String::new() };
    let mut tag = String::from("<img id=\"challenge_qrcode\"");
    // Writing to a String cannot fail.
    if let Some(alt) = alt {
        let _ = write!(tag, " alt=\"{}\"", escape(alt));
    }
    if let Some(width) = width {
        let _ = write!(tag, " width={width}");
    }
    tag.push_str(" src=\"data:image/png;base64,");
    STANDARD.encode_string(png, &mut tag);
    tag.push_str("\"/>");
    tag
}

/// The `qr` reply form: `text` is encoded, `details` are listed on the page.
pub(crate) fn qr_reply(
    form: QrForm,
    text: &str,
    width: Option<u32>,
    alt: Option<&str>,
    details: &[(String, String)],
) -> Reply {
    match form {
        QrForm::Png => match png(text) {
            Ok(file) => Reply::new(HeaderValue::from_static("image/png"), Bytes::from(file)),
            Err(TooLong) => Reply::html(""),
        },
        QrForm::Image => Reply::html(image_tag(text, width, alt)),
        QrForm::Page => {
            let mut page =
                format!("<html><body><div>{}<ul id=\"challenge_data\">", image_tag(text, width, alt));
            for (key, value) in details {
                let (key, value) = (escape(key), escape(value));
                let _ = write!(page, "<li> {key}: <span class=\"{key}\">{value}</span> </li>");
            }
            page.push_str("</ul></div></body></html>");
            Reply::html(page)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_has_the_size_of_symbol_and_border() {
        // Version 1 has 21 modules: (21 + 2 * 4) * 10 pixels. The size stands in the IHDR chunk (PNG 11.2.2).
        let file = png("A").unwrap();
        assert_eq!(&file[..8], b"\x89PNG\r\n\x1a\n");
        assert_eq!(file[16..24], [290_u32.to_be_bytes(), 290_u32.to_be_bytes()].concat());
    }

    #[test]
    fn finder_pattern_is_dark_and_border_is_white() {
        let file = png("A").unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut data = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut data).unwrap();
        let pixel = |x: usize, y: usize| data[y * info.line_size + x / 8] >> (7 - x % 8) & 1;
        assert_eq!(
            (pixel(0, 0), pixel(39, 39), pixel(40, 40), pixel(109, 40), pixel(110, 40)),
            (1, 1, 0, 0, 1)
        );
        assert_eq!((pixel(50, 50), pixel(60, 60), pixel(289, 289)), (1, 0, 1));
    }

    #[test]
    fn the_image_of_an_enrolment_is_small() {
        let url =
            "otpauth://hotp/LinOTP:alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&counter=0&issuer=LinOTP";
        let length = png(url).unwrap().len();
        assert!(length < 3 * 1024, "{length} bytes");
    }

    /// The dark modules of the SVG are those of the symbol: as many, and the corner of the finder pattern behind the border.
    #[test]
    fn the_svg_has_the_modules_of_the_symbol() {
        let dark = QrCode::with_error_correction_level("A", EcLevel::M).unwrap().into_colors();
        let dark = dark.iter().filter(|color| **color == Color::Dark).count();
        let svg = svg("A").unwrap();
        assert_eq!(svg.matches("h1v1h-1z").count(), dark);
        assert!(svg.contains("viewBox=\"0 0 29 29\"") && svg.contains("\"M4 4h1v1h-1z"), "{svg}");
        assert!(!svg.contains("M3 ") && !svg.contains("M25 "), "the border is white");
        assert_eq!(svg_uri(&"x".repeat(3000)), "");
    }

    #[test]
    fn too_long_texts_give_no_image() {
        assert_eq!(png(&"x".repeat(3000)), Err(TooLong));
        assert_eq!(image_tag(&"x".repeat(3000), None, None), "");
    }

    #[test]
    fn image_element_carries_width_and_escaped_alt() {
        let tag = image_tag("text", Some(200), Some("a\"b"));
        assert!(tag.starts_with(
            "<img id=\"challenge_qrcode\" alt=\"a&quot;b\" width=200 src=\"data:image/png;base64,iVBORw0KGgo"
        ));
        assert!(tag.ends_with("\"/>"));
    }

    #[test]
    fn page_lists_the_details() {
        let details = [("serial".to_owned(), "<A1>".to_owned())];
        let reply = qr_reply(QrForm::parse("html"), "text", None, None, &details);
        let body = std::str::from_utf8(&reply.body).unwrap();
        assert!(body.starts_with("<html><body><div><img id=\"challenge_qrcode\" src="));
        assert!(body.ends_with(
            "<ul id=\"challenge_data\"><li> serial: <span class=\"serial\">&lt;A1&gt;</span> </li></ul></div></body></html>"
        ));
        assert_eq!(QrForm::parse("embed"), QrForm::Image);
        assert_eq!(QrForm::parse("png"), QrForm::Png);
    }
}
