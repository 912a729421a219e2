/** How the payload of a request is made of a message. */
import { ContentFormat } from '../../coap/codes.js';
import { isJson } from '../coap-topics/content-format.js';
import { jsonToCbor } from '../coap-topics/conversion.js';
import { MOST_RENDERED, Template, TemplateFailure } from './liquid.js';
import { type MessageValues, VARIABLES } from './message-values.js';

/** Makes a payload. @throws TemplateFailure if the message has not what it takes */
export type PayloadTemplate = (values: MessageValues) => Buffer;

/**
 * A template for payloads of a Content-Format. What is rendered for one of JSON, or for CBOR, must be JSON.
 * @throws TemplateFault
 */
export function payloadTemplate(source: string, contentFormat: number | undefined): PayloadTemplate {
  const isCbor = contentFormat === ContentFormat.Cbor;
  if (!isCbor && !isJson(contentFormat)) {
    const template = new Template(source, 'text', VARIABLES);
    return (values) => bytesOf(template.render(values));
  }
  const template = new Template(source, 'json', VARIABLES);
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
