/**
 * SASLprep (RFC 4013): the one form of a user name or password, whichever way it was typed. As a query string: characters
 * that Unicode 3.2 had not assigned are allowed.
 */

/** Non-ASCII space characters: RFC 3454 C.1.2. */
const SPACES = /[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/gu;
/** Commonly mapped to nothing: RFC 3454 B.1. Joiners and selectors among them are meant singly, not as marks. */
const VANISHING = '\\u00ad\\u034f\\u1806\\u180b-\\u180d\\u200b-\\u200d\\u2060\\ufe00-\\ufe0f\\ufeff';
const NOTHING = new RegExp(`[${VANISHING}]`, 'gu');
/** RFC 4013 2.3: control, private use, no characters, surrogates, inappropriate for text or display, tags. */
const PROHIBITED = new RegExp(
  '[\\p{Cc}\\p{Co}\\p{Cs}\\p{Noncharacter_Code_Point}\\u0340\\u0341\\u06dd\\u070f\\u180e\\u200c-\\u200f\\u2028-\\u202e' +
    '\\u2060-\\u2063\\u206a-\\u206f\\u2ff0-\\u2ffb\\ufeff\\ufff9-\\ufffd\\u{1d173}-\\u{1d17a}\\u{e0001}\\u{e0020}-\\u{e007f}]',
  'u',
);
/** Characters written from right to left: RFC 3454 D.1. */
const RIGHT_TO_LEFT =
  '\\u05be\\u05c0\\u05c3\\u05d0-\\u05ea\\u05f0-\\u05f4\\u061b\\u061f\\u0621-\\u063a\\u0640-\\u064a\\u066d-\\u066f' +
  '\\u0671-\\u06d5\\u06dd\\u06e5\\u06e6\\u06fa-\\u06fe\\u0700-\\u070d\\u0710\\u0712-\\u072c\\u0780-\\u07a5\\u07b1\\u200f' +
  '\\ufb1d\\ufb1f-\\ufb28\\ufb2a-\\ufb36\\ufb38-\\ufb3c\\ufb3e\\ufb40\\ufb41\\ufb43\\ufb44\\ufb46-\\ufbb1\\ufbd3-\\ufd3d' +
  '\\ufd50-\\ufd8f\\ufd92-\\ufdc7\\ufdf0-\\ufdfc\\ufe70-\\ufe74\\ufe76-\\ufefc';
const HAS_RIGHT_TO_LEFT = new RegExp(`[${RIGHT_TO_LEFT}]`, 'u');
const ENDS_RIGHT_TO_LEFT = new RegExp(`^[${RIGHT_TO_LEFT}](.*[${RIGHT_TO_LEFT}])?$`, 'su');
/** Written from left to right: the letters among RFC 3454 D.2. */
const HAS_LEFT_TO_RIGHT = new RegExp(`(?![${RIGHT_TO_LEFT}])\\p{L}`, 'u');

/** The prepared form, or null for a text that has none: empty, a character that is prohibited, directions mixed. */
export function saslprep(text: string): string | null {
  const prepared = text.replace(SPACES, ' ').replace(NOTHING, '').normalize('NFKC');
  if (prepared === '' || PROHIBITED.test(prepared)) return null;
  // RFC 3454 6.
  if (!HAS_RIGHT_TO_LEFT.test(prepared)) return prepared;
  return ENDS_RIGHT_TO_LEFT.test(prepared) && !HAS_LEFT_TO_RIGHT.test(prepared) ? prepared : null;
}
