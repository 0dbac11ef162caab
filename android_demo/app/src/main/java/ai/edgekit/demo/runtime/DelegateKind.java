package ai.edgekit.demo.runtime;

/** What can run a model on a phone. */
public enum DelegateKind {
    CPU("cpu"),
    GPU("gpu"),
    NNAPI("nnapi");

    /** The name in reports. */
    public final String id;

    DelegateKind(String id) {
        this.id = id;
    }
}
