/** How the payload of a request is made of a message, and that of a message of a response. */
import { ContentFormat } from '../../coap/codes.js';
import { isJson } from '../coap-topics/content-format.js';
import { jsonToCbor } from '../coap-topics/conversion.js';
import { MOST_RENDERED, Template, TemplateFailure, type Variables } from './liquid.js';
import { VARIABLES } from './message-values.js';

/** Makes a payload. @throws TemplateFailure if there is not what it takes */
export type PayloadTemplate = (values: Variables) => Buffer;

/**
 * A template for payloads of a Content-Format. What is rendered for one of JSON, or for CBOR, must be JSON.
 * @param known the variables that there are
 * @throws TemplateFault
 */
export function payloadTemplate(
  source: string,
  contentFormat: number | undefined,
  known: readonly string[] = VARIABLES,
): PayloadTemplate {
  const isCbor = contentFormat === ContentFormat.Cbor;
  if (!isCbor && !isJson(contentFormat)) {
    const template = new Template(source, 'text', known);
    return (values) => bytesOf(template.render(values));
  }
  const template = new Template(source, 'json', known);
  return (values) => {
    // A block of YAML ends with a line break, which says nothing in JSON.
    const rendered = bytesOf(template.render(values).trim());
    try {
      if (isCbor) return jsonToCbor(rendered);
      JSON.parse(rendered.toString());
      return rendered;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new TemplateFailure(`what the template makes is no JSON: ${why}`, { cause: error });
    }
  };
}

function bytesOf(rendered: string): Buffer {
  const bytes = Buffer.from(rendered);
  if (bytes.length > MOST_RENDERED) throw new TemplateFailure(`more than ${MOST_RENDERED} bytes`);
  return bytes;
}
