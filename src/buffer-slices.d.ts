/**
 * Buffer methods that Node has had since its beginnings and that its documentation leaves out: decoding without the
 * argument checks of `toString`, which cost more than the decoding on short strings.
 */
interface Buffer {
  latin1Slice(start?: number, end?: number): string;
  utf8Slice(start?: number, end?: number): string;
}
