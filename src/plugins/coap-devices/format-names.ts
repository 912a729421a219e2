/** Content-Formats as they are configured: the usual ones by name, any one by number. */
import { ContentFormat } from '../../coap/codes.js';

const FORMATS = {
  text: ContentFormat.Text,
  link: ContentFormat.LinkFormat,
  octets: ContentFormat.OctetStream,
  json: ContentFormat.Json,
  cbor: ContentFormat.Cbor,
} as const;

/** A name or a number. */
export type FormatOption = keyof typeof FORMATS | number;

export function formatNumber(format: FormatOption | undefined): number | undefined {
  return typeof format === 'string' ? FORMATS[format] : format;
}
