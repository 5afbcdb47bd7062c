/** An answer handler that reports the end of an answer and can replace its error. */
import type { AnswerHandler } from './guard';

/**
 * @param ended called once, before `inner` is notified of the end
 * @param instead returns a promise of the error that replaces the given one; undefined keeps the given one
 */
export function onceEnded(
  inner: AnswerHandler,
  ended: () => void,
  instead: (error: Error) => Promise<Error> | undefined,
): AnswerHandler {
  let open = true;
  const end = (): void => {
    if (open) ended();
    open = false;
  };
  return {
    onStart: (control) => {
      inner.onStart(control);
    },
    onHead: (head) => {
      inner.onHead(head);
    },
    onData: (chunk) => {
      inner.onData(chunk);
    },
    onEnd: () => {
      end();
      inner.onEnd();
    },
    onError: (error) => {
      end();
      const other = instead(error);
      if (other === undefined) inner.onError(error);
      else
        void other.then((found) => {
          inner.onError(found);
        });
    },
  };
}
