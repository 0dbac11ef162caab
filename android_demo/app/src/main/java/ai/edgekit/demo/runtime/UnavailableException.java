package ai.edgekit.demo.runtime;

/** This phone does not have the delegate; the message says why. */
public final class UnavailableException extends Exception {
    private static final long serialVersionUID = 1;

    public UnavailableException(String message) {
        super(message);
    }
}
