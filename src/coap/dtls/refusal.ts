/** Why the peer is refused: the alert that it hears, and words for the operator. */
export class Refusal {
  readonly alert: number;
  readonly words: string;

  constructor(alert: number, words: string) {
    this.alert = alert;
    this.words = words;
  }
}

/** What a stranger wrote, as it may stand in a log. */
export function quoted(text: string | undefined): string {
  if (text === undefined) return '""';
  return JSON.stringify(text.length > 128 ? `${text.slice(0, 128)}...` : text);
}
