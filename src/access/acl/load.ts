/** The access control list of a configuration. */
import { ErrorKinds, PorticoError } from '../../errors.js';
import type { Acl } from './acl.js';
import { readMosquittoAcl } from './mosquitto-file.js';
import { readRoleAcl } from './role-file.js';

/** Where lists stand. */
export interface AclFiles {
  /** `access.acl_file`: in Mosquitto's form. */
  readonly acl_file?: string | undefined;
  /** `access.acl`: in our own. */
  readonly acl?: string | undefined;
}

/**
 * Reads the list; null if there is none.
 * @param section that names it, for faults
 * @throws PorticoError `PORTICO_CONFIGURATION` if there are two, `PORTICO_SECURITY_FILE` with a line for each fault
 */
export async function readAcl({ acl_file: theirs, acl: ours }: AclFiles, section = 'access'): Promise<Acl | null> {
  if (theirs !== undefined && ours !== undefined) {
    const sentence = `${section}.acl_file and ${section}.acl: there can be one of the two`;
    throw new PorticoError(ErrorKinds.Configuration, sentence);
  }
  if (theirs !== undefined) return readMosquittoAcl(theirs);
  return ours === undefined ? null : readRoleAcl(ours);
}
