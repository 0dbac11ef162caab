package ai.edgekit.demo.runtime;

/** A spec that is missing, invalid, or does not fit its model. */
public final class SpecException extends ModelFileException {
    private static final long serialVersionUID = 1;

    public SpecException(String message) {
        super(message);
    }
}
