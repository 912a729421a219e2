/** The format of LevelDB's logs (doc/log_format.md): blocks of fragments `u32 masked CRC, u16 length, u8 type`. */

/** Bytes of a block; no fragment reaches into the next one. */
export const BLOCK = 32768;
/** Bytes before the data of a fragment. */
export const HEAD = 7;
/** A record is one `Full` fragment, or `First`, `Middle`..., `Last`. */
export const Type = { Full: 1, First: 2, Middle: 3, Last: 4 } as const;
