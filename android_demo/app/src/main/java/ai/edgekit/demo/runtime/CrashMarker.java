package ai.edgekit.demo.runtime;

/** Remembers, across a crash of the process, what was being tried; `digest` is that of the model. */
public interface CrashMarker {
    /** Whether an earlier try ended the process. */
    boolean crashed(DelegateKind kind, String digest);

    /** Notes, durably before it returns, that a try begins. */
    void trying(DelegateKind kind, String digest);

    /** Notes that the try came to its end, whatever the answer was. */
    void done(DelegateKind kind, String digest);
}
