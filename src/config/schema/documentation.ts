/** What the sections of the schema share: the words beside an option, and the kinds of values. */
import { z } from 'zod';

/** What stands beside an option. */
export interface OptionDoc {
  /** One or two short sentences. */
  readonly doc: string;
  /** Unit of a number. */
  readonly unit?:
    | 'bytes'
    | 'seconds'
    | 'milliseconds'
    | 'messages'
    | 'levels'
    | 'connections'
    | 'passwords'
    | 'questions'
    | 'entries'
    | 'failures'
    | 'sessions'
    | 'subscriptions'
    | 'traces'
    | 'connections per second'
    | 'handshakes per second'
    | 'messages per second'
    | 'bytes per second';
  /** The first version that knows the option. */
  readonly since: string;
  /** What is right, where the schema itself cannot say it in words. */
  readonly type?: string;
  /** A value for the example file, for an option without default. */
  readonly example?: string | number | boolean;
}

/** The documentation of every option and section. */
export const documentation = z.registry<OptionDoc>();

export const KIB = 1024;
export const MIB = 1024 * KIB;

export const whole = (least: number, most: number) => z.int().min(least).max(most);
export const text = () => z.string().min(1);
