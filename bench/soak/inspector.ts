/** The heap of another Node process, through its inspector (Chrome DevTools Protocol). */
import { once } from 'node:events';
import { WebSocket } from 'ws';

/** What is alive after a garbage collection. */
export interface Heap {
  /** MiB. */
  readonly used: number;
  /** How many objects there are of each class, by the name of its constructor. */
  readonly objects: Readonly<Record<string, number>>;
  /** How many plain objects there are with the same first properties: `{topic, payload}`. */
  readonly shapes: Readonly<Record<string, number>>;
}

/** Runs in the broker, on the array of all its objects. */
const COUNT = `function () {
  const objects = Object.create(null);
  const shapes = Object.create(null);
  for (const object of this) {
    let name, shape;
    try {
      name = Object.getPrototypeOf(object)?.constructor?.name;
      if (name === 'Object') shape = '{' + Object.keys(object).slice(0, 6).join(', ') + '}';
    } catch { continue; }
    if (typeof name === 'string' && name !== '') objects[name] = (objects[name] ?? 0) + 1;
    if (shape !== undefined) shapes[shape] = (shapes[shape] ?? 0) + 1;
  }
  return JSON.stringify({ objects, shapes });
}`;

interface Reply {
  readonly id?: number;
  readonly error?: { readonly message: string };
  readonly result?: {
    readonly usedSize?: number;
    readonly result?: { readonly objectId?: string; readonly value?: unknown };
    readonly objects?: { readonly objectId: string };
    readonly exceptionDetails?: { readonly text: string };
  };
}

/** One conversation. */
class Conversation {
  readonly #socket: WebSocket;
  readonly #replies = new Map<number, (reply: Reply) => void>();
  #last = 0;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (data: Buffer) => {
      const reply = JSON.parse(data.toString()) as Reply;
      if (reply.id !== undefined) this.#replies.get(reply.id)?.(reply);
    });
  }

  async ask(method: string, params: Readonly<Record<string, unknown>> = {}): Promise<NonNullable<Reply['result']>> {
    const id = ++this.#last;
    const reply = await new Promise<Reply>((resolve) => {
      this.#replies.set(id, resolve);
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
    this.#replies.delete(id);
    const wrong = reply.error?.message ?? reply.result?.exceptionDetails?.text;
    if (wrong !== undefined) throw new Error(`${method}: ${wrong}`);
    return reply.result ?? {};
  }

  async count(): Promise<Pick<Heap, 'objects' | 'shapes'>> {
    const objectGroup = 'count';
    const { result } = await this.ask('Runtime.evaluate', { expression: 'Object.prototype', objectGroup });
    const found = await this.ask('Runtime.queryObjects', { prototypeObjectId: result?.objectId, objectGroup });
    const objectId = found.objects?.objectId;
    const counted = await this.ask('Runtime.callFunctionOn', { objectId, functionDeclaration: COUNT });
    await this.ask('Runtime.releaseObjectGroup', { objectGroup });
    return JSON.parse(String(counted.result?.value)) as Pick<Heap, 'objects' | 'shapes'>;
  }
}

/** Looks at the heap. @param url of the inspector, as Node writes it when it starts */
export async function inspectHeap(url: string): Promise<Heap> {
  const socket = new WebSocket(url);
  await once(socket, 'open');
  const conversation = new Conversation(socket);
  // What a first collection finalizes, a second one frees.
  for (let i = 0; i < 3; i++) await conversation.ask('HeapProfiler.collectGarbage');
  const { usedSize } = await conversation.ask('Runtime.getHeapUsage');
  const counted = await conversation.count();
  socket.close();
  await once(socket, 'close');
  return { used: (usedSize ?? 0) / 2 ** 20, ...counted };
}
